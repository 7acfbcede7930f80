"""Many linear classifiers on streamed rows at once: a pass over the rows serves all folds and all strengths.

L-BFGS in coordinates in which the problems are round (decision 0037). Passes over all rows begin at solutions on small
samples, with what these have learnt of the curvature.
Axes: D features, P problems (a fold and a strength each), K columns of scores (1 for two classes), k rows of a block.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import eigh
from threadpoolctl import threadpool_limits

from classify.data.rows.blocks import BYTES, sweep
from classify.heads.fitting.lockstep import ARMIJO, Unknowns, two_loop
from classify.heads.streaming.coordinates import Coordinates
from classify.heads.streaming.linear import Linear, place
from classify.heads.streaming.losses import Loss
from classify.heads.streaming.moments import Moments
from classify.heads.streaming.way import MEMORY, Part, Way

SAMPLES = {32: 1e-2, 8: 1e-2}  # of so many rows one, on which to begin, and how far down: as far as they tell
LEAST = 1_000  # rows of a sample
MEASURED = 4_000  # rows of a sample that curvatures are measured on
GAP = 1e-5  # of what a problem has gained over knowing nothing: it is solved where a step promises less
PASSES = 60
HALVINGS = 12
NEVER = -1e4  # score of a class that a fold lacks


class Descent(Unknowns):
    """P problems of one form and scaling.

    Parameters
    ----------
    whole : Moments
        Of all rows: they give the axes. What the problems are solved on is rows less their mean.
    fitted : sequence of P Moments
        Of the rows that each problem is fitted on; the same object may occur many times.
    fold : (P,) int
        What each leaves out, -1 for nothing.
    strengths : (P,) float
        Values of C.
    """

    def __init__(
        self,
        whole: Moments,
        fitted: Sequence[Moments],
        fold: np.ndarray,
        strengths: np.ndarray,
        standard: bool,
        loss: Loss,
        jobs: int | None,
    ) -> None:
        self._fold, self._loss, self._jobs = fold, loss, jobs
        self._where = [place(moments, standard) for moments in fitted]
        spread = whole.deviation if standard else np.ones(len(whole.shift))
        self._mean, self._spread = whole.mean, spread.astype(np.float32)
        self._reach = np.stack([1 / where["scale"] for where in self._where]).astype(np.float32)
        classes = len(whole.mass)
        self._columns = classes if classes > 2 else 1
        self._ridge = np.array([1 / (C * each.mass.sum()) for C, each in zip(strengths, fitted, strict=True)])
        self._lacking = np.stack([each.mass <= 0 for each in fitted])
        target = self._target(np.array([0]))
        self._nothing = loss.of(
            np.zeros((1, *target.shape), np.float32), target, np.ones((1, 1), np.float32)
        )[0]
        with threadpool_limits(1):
            strength, axes = eigh(whole.over(spread).covariance, check_finite=False)
        self._strength, self._axes = np.maximum(strength, 0), axes.astype(np.float32)
        level = np.full((len(fold), self._columns), 1 / classes)
        along = level[..., None] * self._strength
        self._at = self._coordinates(level, 0 * along, along)

    def solve(self, part: Part) -> list[Linear]:
        """Solve all problems on the rows of a part."""
        shape = (len(self._fold), self._columns, len(self._strength) + 1)
        way = Way.nowhere(shape)
        for share, gap in SAMPLES.items():
            if len(part.codes) // share >= LEAST:
                self._minimise(part.sample(slice(len(part.codes) // share)), way, gap)
                self._rounder(part.sample(slice(-MEASURED, None)), way)
        self._minimise(part, way, GAP)
        return self._models(way.U)

    def _coordinates(self, level: np.ndarray, first: np.ndarray, second: np.ndarray) -> Coordinates:
        penalised = self._loss.intercept
        return Coordinates.of(self._axes, self._strength, level, first, second, self._ridge, penalised)

    def _rounder(self, fresh: Part, way: Way) -> None:
        """Measure curvatures on rows that a solution has not seen, and take it to coordinates in those units."""
        Z = fresh.rows
        bend = self._loss.curvature(self._scores(way.U, Z), self._target(fresh.codes))
        along, before = Z / self._spread @ self._axes, self._at
        first, second = (
            (bend.reshape(-1, len(Z)) @ each).reshape(way.U[..., :-1].shape) / len(Z)
            for each in (along, np.square(along))
        )
        self._at = self._coordinates(bend.mean(axis=2), first, second)
        way.U = self._at.unknowns(way.U, before)
        for at in range(MEMORY):
            way.steps[at] = self._at.unknowns(way.steps[at], before)
            way.changes[at] = self._at.changes(way.changes[at], before)

    def _target(self, codes: np.ndarray) -> np.ndarray:
        classes = np.arange(self._columns) if self._columns > 1 else np.array([1])
        return (classes[:, None] == codes).astype(np.float32)

    def _kernels(self, U: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(p, K, D) kernels for rows in each problem's own scaling, and (p, K) intercepts."""
        kernel, offset = self._at.some(active).kernels(U)
        return kernel, np.where(self._lacking[active], NEVER, offset) if self._columns > 1 else offset

    def _scores(self, U: np.ndarray, Z: np.ndarray) -> np.ndarray:
        kernel, offset = self._kernels(U, np.arange(len(U)))
        kernel *= self._reach[:, None]
        scores = (kernel.reshape(-1, Z.shape[1]) @ Z.T).reshape(*offset.shape, -1)
        return scores + offset[..., None].astype(np.float32)

    def _evaluate(self, part: Part, U: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Objectives (p,) and their gradients by U, in one pass."""
        (kernel, offset), reach = self._kernels(U, active), self._reach[active, None]
        folds, weight, ridge = self._fold[active], part.weight, self._ridge[active]
        mass = np.bincount(part.fold, weight, minlength=int(part.fold.max()) + 1)
        total = mass.sum() - np.where(folds >= 0, mass[folds], 0)
        scaled = kernel * reach
        fitted = [np.flatnonzero(folds != number) for number in range(len(mass))]
        flat = [
            (scaled[p].reshape(-1, kernel.shape[2]), offset[p, :, None].astype(np.float32)) for p in fitted
        ]

        def work(block: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            losses = np.zeros(len(active))
            product, last = np.zeros(kernel.shape, np.float32), np.zeros(offset.shape)
            for number, problems in enumerate(fitted):
                own = np.flatnonzero(part.fold[places] == number)
                if not len(own) or not len(problems):
                    continue
                Z, (columns, level) = block if len(own) == len(block) else block[own], flat[number]
                scores = (columns @ Z.T).reshape(len(problems), -1, len(Z))
                scores += level
                share = np.broadcast_to(1 / total[problems, None].astype(np.float32), (len(problems), len(Z)))
                if weight is not None:
                    share = share * weight[places[own]].astype(np.float32)
                found, residual = self._loss.of(scores, self._target(part.codes[places[own]]), share)
                losses[problems] += found
                product[problems] += (residual.reshape(-1, len(Z)) @ Z).reshape(
                    len(problems), *kernel.shape[1:]
                )
                last[problems] += residual.sum(axis=2)
            return losses, product, last

        losses = np.zeros(len(active))
        product, last = np.zeros(kernel.shape), np.zeros(offset.shape)
        size = max(1, BYTES // (4 * max(offset.size, kernel.shape[2])))
        for part_of in sweep(part.rows, work, self._jobs, size):
            for whole, found in zip((losses, product, last), part_of, strict=True):
                whole += found
        by_kernel = (product * reach).astype(np.float32) + ridge[:, None, None].astype(np.float32) * kernel
        losses += 0.5 * ridge * self.dot(kernel, kernel)
        if self._loss.intercept:
            known = np.where(self._lacking[active], 0, offset) if self._columns > 1 else offset
            losses += 0.5 * ridge * np.square(known).sum(axis=1)
            last += ridge[:, None] * known
        return losses, self._at.some(active).gradient(by_kernel, last.astype(np.float32))

    def _minimise(self, part: Part, way: Way, gap: float) -> None:
        """Go down until no problem's step promises much, see GAP; the solved ones leave the passes."""
        U, active = way.U.copy(), np.arange(len(way.U))
        value, gradient = self._evaluate(part, U, active)
        steps, changes = ([pair for pair in pairs.copy() if pair.any()] for pairs in (way.steps, way.changes))
        for _ in range(PASSES):
            direction = two_loop(self, gradient, steps, changes)
            slope = self.dot(direction, gradient)
            uphill = slope >= 0
            direction[uphill], slope[uphill] = (
                -gradient[uphill],
                -self.dot(gradient[uphill], gradient[uphill]),
            )
            left = -slope > 2 * gap * np.maximum(self._nothing - value, 1e-6)
            way.leave(active[~left], U, steps, changes, ~left)
            if not left.any():
                return
            active, U, value, gradient = active[left], U[left], value[left], gradient[left]
            direction, slope = direction[left], slope[left]
            steps, changes = [s[left] for s in steps], [c[left] for c in changes]
            before = gradient
            step, value, gradient = self._line_search(part, active, U, direction, value, slope, gradient)
            U = U + step
            steps.append(step)
            changes.append(gradient - before)
            del steps[:-MEMORY], changes[:-MEMORY]
        way.leave(active, U, steps, changes, np.ones(len(active), bool))

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
        kernels, offsets = self._kernels(U, np.arange(len(U)))
        models = []
        for kernel, offset, lacking, where in zip(
            kernels.astype(np.float64), offsets, self._lacking, self._where, strict=True
        ):
            intercept = offset - kernel @ (self._mean / where["scale"])
            if self._columns == 1:
                kernel, intercept = np.vstack([0 * kernel, kernel]), np.r_[0, intercept]
            intercept = np.where(lacking, -np.inf, intercept)
            models.append(Linear(kernel, intercept, where["shift"], where["scale"], where["mean"]))
        return models
