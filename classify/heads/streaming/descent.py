"""Many linear classifiers on streamed rows at once: a pass over the rows serves all folds and all strengths.

L-BFGS in coordinates in which the problems are round: along the principal axes of the rows, each in units of what its
curvature is expected to be (decision 0037). Passes over all rows begin at solutions on small samples.
Axes: D features, P problems (a fold and a strength each), K columns of scores (1 for two classes), k rows of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from threadpoolctl import threadpool_limits

from classify.data.rows.blocks import BYTES, Rows, sweep
from classify.heads.fitting.lockstep import ARMIJO, two_loop
from classify.heads.fitting.logistic import dot
from classify.heads.streaming.form import Form
from classify.heads.streaming.linear import Linear, place
from classify.heads.streaming.losses import Loss
from classify.heads.streaming.moments import Moments

MEMORY = 10  # pairs of steps and gradient changes
SAMPLES = (32, 8)  # of so many rows one, on which to begin
LEAST = 1_000  # rows of a sample
GAP = 1e-5  # of what a problem has gained over knowing nothing: it is solved where a step promises less
PASSES = 60
HALVINGS = 12
NEVER = -1e4  # score of a class that a fold lacks


@dataclass(frozen=True)
class Part:
    """Rows of one form that problems are solved on."""

    rows: Rows
    codes: np.ndarray  # (n,)
    fold: np.ndarray  # (n,)
    weight: np.ndarray | None  # (n,)

    def sample(self, size: int) -> Part:
        """Rows drawn at random, in memory."""
        some = np.sort(np.random.default_rng(0).permutation(len(self.codes))[:size])
        weight = None if self.weight is None else self.weight[some]
        return Part(self.rows[some], self.codes[some], self.fold[some], weight)


class Descent:
    """P problems of one form and scaling.

    Parameters
    ----------
    form : Form
    whole : Moments
        Of all rows: they give the axes.
    fitted : sequence of P Moments
        Of the rows that each problem is fitted on; the same object may occur many times.
    fold : (P,) int
        What each leaves out, -1 for nothing.
    strengths : (P,) float
        Values of C.
    """

    def __init__(
        self,
        form: Form,
        whole: Moments,
        fitted: Sequence[Moments],
        fold: np.ndarray,
        strengths: np.ndarray,
        standard: bool,
        loss: Loss,
        jobs: int | None,
    ) -> None:
        self._form, self._fold, self._loss, self._jobs = form, fold, loss, jobs
        self._where = [place(moments, standard) for moments in fitted]
        spread = whole.deviation if standard else np.ones(len(whole.shift))
        self._origin, self._spread = (whole.shift + whole.mean).astype(np.float32), spread.astype(np.float32)
        self._mean = whole.mean
        self._reach = np.stack([spread / where["scale"] for where in self._where]).astype(np.float32)
        classes = len(whole.mass)
        self._columns = classes if classes > 2 else 1
        self._ridge = np.array([1 / (C * each.mass.sum()) for C, each in zip(strengths, fitted, strict=True)])
        self._lacking = np.stack([each.mass <= 0 for each in fitted])
        with threadpool_limits(1):
            strength, axes = eigh(whole.over(spread).covariance, check_finite=False)
        self._strength, self._axes = np.maximum(strength, 0), axes.astype(np.float32)
        target = self._target(np.array([0]))
        self._nothing = loss.of(
            np.zeros((1, *target.shape), np.float32), target, np.ones((1, 1), np.float32)
        )[0]
        self._bend(np.full((len(fold), self._columns), 1 / classes))

    def solve(self, part: Part) -> list[Linear]:
        """Solve all problems on the rows of a part."""
        U = np.zeros((len(self._fold), self._columns, len(self._strength) + 1), np.float32)
        for share in SAMPLES:
            if len(part.codes) // share >= LEAST:
                some = part.sample(len(part.codes) // share)
                U = self._minimise(some, U, 10 * GAP)
                U = self._rounder(some, U)
        return self._models(self._minimise(part, U, GAP))

    # ---- what `two_loop` asks for

    def dot(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return dot(a, b)

    def free(self, W: np.ndarray) -> np.ndarray:
        return W

    def complete(self, free: np.ndarray) -> np.ndarray:
        return free

    # ----

    def _bend(self, curvature: np.ndarray) -> None:
        """Set the unit of each coordinate, from mean second derivatives of the loss (P, K)."""
        ridge = self._ridge[:, None]
        unit = 1 / np.sqrt(curvature[..., None] * self._strength + ridge[..., None])
        last = 1 / np.sqrt(curvature + ridge * self._loss.intercept)
        self._unit = np.concatenate([unit, last[..., None]], axis=2).astype(np.float32)

    def _rounder(self, part: Part, U: np.ndarray) -> np.ndarray:
        """Measure curvatures at a solution on a small part; the solution in the new units."""
        some = part.sample(2 * LEAST)
        active, Z = np.arange(len(U)), self._rows(some.rows)
        before, curvature = (
            self._unit,
            self._loss.curvature(self._scores(U, active, Z), self._target(some.codes)),
        )
        self._bend(np.maximum(curvature.mean(axis=2), 1e-4))
        return U * (before / self._unit)

    def _kernels(self, U: np.ndarray, active: np.ndarray) -> np.ndarray:
        """(p, K, D) kernels for rows in each problem's own scaling."""
        return (U * self._unit[active])[..., :-1] @ self._axes.T

    def _rows(self, block: np.ndarray) -> np.ndarray:
        Z = self._form.of(block) - self._origin
        Z /= self._spread
        return Z

    def _target(self, codes: np.ndarray) -> np.ndarray:
        classes = np.arange(self._columns) if self._columns > 1 else np.array([1])
        return (classes[:, None] == codes).astype(np.float32)

    def _offset(self, U: np.ndarray, active: np.ndarray) -> np.ndarray:
        """(p, K) intercepts."""
        offset = (U * self._unit[active])[..., -1]
        return np.where(self._lacking[active], NEVER, offset) if self._columns > 1 else offset

    def _scores(self, U: np.ndarray, active: np.ndarray, Z: np.ndarray) -> np.ndarray:
        kernel = self._kernels(U, active) * self._reach[active, None]
        scores = kernel.reshape(-1, Z.shape[1]) @ Z.T
        return scores.reshape(*U.shape[:2], -1) + self._offset(U, active)[..., None].astype(np.float32)

    def _evaluate(self, part: Part, U: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Objectives (p,) and their gradients by U, in one pass."""
        kernel, reach, ridge = self._kernels(U, active), self._reach[active, None], self._ridge[active]
        flat, offset = (
            (kernel * reach).reshape(-1, kernel.shape[2]),
            self._offset(U, active).astype(np.float32),
        )
        folds, weight = self._fold[active], part.weight
        mass = np.bincount(part.fold, weight, minlength=int(part.fold.max()) + 1)
        total = mass.sum() - np.where(folds >= 0, mass[folds], 0)

        def work(block: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            Z = self._rows(block)
            scores = (flat @ Z.T).reshape(*offset.shape, -1)
            scores += offset[..., None]
            share = (part.fold[places] != folds[:, None]) / total[:, None].astype(np.float32)
            if weight is not None:
                share *= weight[places]
            losses, residual = self._loss.of(
                scores, self._target(part.codes[places]), share.astype(np.float32)
            )
            product = residual.reshape(-1, residual.shape[2]) @ Z
            return losses, product.reshape(kernel.shape), residual.sum(axis=2)

        losses = np.zeros(len(active))
        product, last = np.zeros(kernel.shape), np.zeros(offset.shape)
        size = max(1, BYTES // (4 * max(len(flat), kernel.shape[2])))
        for part_of in sweep(part.rows, work, self._jobs, size):
            for whole, found in zip((losses, product, last), part_of, strict=True):
                whole += found
        by_kernel = (product * reach).astype(np.float32) + ridge[:, None, None].astype(np.float32) * kernel
        losses += 0.5 * ridge * dot(kernel, kernel)
        if self._loss.intercept:
            losses += 0.5 * ridge * np.square(offset).sum(axis=1)
            last += ridge[:, None] * offset
        gradient = np.concatenate([by_kernel @ self._axes, last[..., None].astype(np.float32)], axis=2)
        return losses, gradient * self._unit[active]

    def _minimise(self, part: Part, U: np.ndarray, gap: float) -> np.ndarray:
        """Go down until no problem's step promises much, see GAP; the solved ones leave the passes."""
        solution, active = U.copy(), np.arange(len(U))
        value, gradient = self._evaluate(part, U, active)
        steps, changes = list[np.ndarray](), list[np.ndarray]()
        for _ in range(PASSES):
            direction = two_loop(self, gradient, steps, changes)
            slope = dot(direction, gradient)
            uphill = slope >= 0
            direction[uphill], slope[uphill] = -gradient[uphill], -dot(gradient[uphill], gradient[uphill])
            left = -slope > 2 * gap * np.maximum(self._nothing - value, 1e-6)
            solution[active] = U
            if not left.any():
                break
            active, U, value, gradient = active[left], U[left], value[left], gradient[left]
            direction, slope = direction[left], slope[left]
            steps, changes = [s[left] for s in steps], [c[left] for c in changes]
            before = gradient
            step, value, gradient = self._line_search(part, active, U, direction, value, slope, gradient)
            U = U + step
            steps.append(step)
            changes.append(gradient - before)
            del steps[:-MEMORY], changes[:-MEMORY]
        solution[active] = U
        return solution

    def _line_search(
        self,
        part: Part,
        active: np.ndarray,
        U: np.ndarray,
        direction: np.ndarray,
        value: np.ndarray,
        slope: np.ndarray,
        gradient: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shorten each problem's step until its objective falls enough: steps, objectives and gradients there."""
        size, poor = np.ones(len(active), np.float32), np.arange(len(active))
        value, gradient, start = value.copy(), gradient.copy(), value
        for _ in range(HALVINGS):
            step = direction[poor] * size[poor, None, None]
            found, slopes = self._evaluate(part, U[poor] + step, active[poor])
            good = found <= start[poor] + ARMIJO * size[poor] * slope[poor] + 1e-7 * np.abs(start[poor])
            value[poor[good]], gradient[poor[good]] = found[good], slopes[good]
            rise = found - start[poor] - slope[poor] * size[poor]
            best = (
                -slope[poor] * size[poor] / (2 * np.maximum(rise, 1e-30))
            )  # of the parabola, as a part of the step
            size[poor] *= np.where(good, 1, np.clip(best, 0.1, 0.5))
            poor = poor[~good]
            if not len(poor):
                break
        size[poor] = 0
        return direction * size[:, None, None], value, gradient

    def _models(self, U: np.ndarray) -> list[Linear]:
        active = np.arange(len(U))
        kernels, offsets = self._kernels(U, active).astype(np.float64), self._offset(U, active)
        models = []
        for kernel, offset, lacking, where in zip(kernels, offsets, self._lacking, self._where, strict=True):
            intercept = offset - kernel @ (self._mean / where["scale"])
            if self._columns == 1:
                kernel, intercept = np.vstack([0 * kernel, kernel]), np.r_[0, intercept]
            intercept = np.where(lacking, -np.inf, intercept)
            models.append(Linear(kernel, intercept, where["shift"], where["scale"], where["mean"]))
        return models
