"""Many linear classifiers on the same rows: what they lose, and which way it grows, in one pass over blocks.

Axes: D features, P problems (a fold and a strength each), K columns of scores (1 for two classes), k rows of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from threadpoolctl import threadpool_limits

from classify.data.rows.blocks import Rows, held, sweep
from classify.data.rows.streamed import Streamed
from classify.heads.fitting.lockstep import Unknowns
from classify.heads.streaming.coordinates import Coordinates
from classify.heads.streaming.linear import Linear, place
from classify.heads.streaming.losses import Loss
from classify.heads.streaming.moments import Moments

NEVER = -1e4  # score of a class that a fold lacks
LITTLE = 1_000  # rows of a block where there are few
BYTES = 24 * 2**20  # of a block, as float32: of its rows, and of all scores


@dataclass(frozen=True)
class Part:
    """Rows of one form that problems are solved on."""

    rows: Rows
    codes: np.ndarray  # (n,)
    fold: np.ndarray  # (n,)
    weight: np.ndarray | None  # (n,)

    def sample(self, which: slice) -> Part:
        """Some of the rows: a part of an order that is drawn at random."""
        some = np.sort(np.random.default_rng(0).permutation(len(self.codes))[which])
        weight = None if self.weight is None else self.weight[some]
        rows = held(self.rows.select(some)) if isinstance(self.rows, Streamed) else self.rows[some]
        return Part(rows, self.codes[some], self.fold[some], weight)


class Problems(Unknowns):
    """P problems of one form and scaling, strength by strength.

    Parameters
    ----------
    whole : Moments
        Of all rows: they give the axes. What the problems are solved on is rows less their mean.
    fitted : sequence of F Moments
        Of the rows that are fitted on where each fold is left out; of a single one, nothing is.
    strengths : (P / F,) float
        Values of C.
    """

    def __init__(
        self,
        whole: Moments,
        fitted: Sequence[Moments],
        strengths: Sequence[float],
        standard: bool,
        loss: Loss,
        jobs: int | None,
    ) -> None:
        self.folds, self._loss, self._jobs = len(fitted), loss, jobs
        fold = np.arange(len(fitted)) if len(fitted) > 1 else np.array([-1])
        self._fold = np.tile(fold, len(strengths))  # (P,) what each leaves out, -1 for nothing
        fitted = [*fitted] * len(strengths)
        self._where = [place(moments, standard) for moments in fitted]
        spread = whole.deviation if standard else np.ones(len(whole.shift))
        self._mean, self._spread = whole.mean, spread.astype(np.float32)
        self._reach = np.stack([1 / where["scale"] for where in self._where]).astype(np.float32)
        classes = len(whole.mass)
        self._columns = classes if classes > 2 else 1
        each = np.repeat(strengths, self.folds)
        self._ridge = np.array([1 / (C * of.mass.sum()) for C, of in zip(each, fitted, strict=True)])
        self._lacking = np.stack([moments.mass <= 0 for moments in fitted])
        target = self._target(np.array([0]))
        nothing = np.zeros((1, *target.shape), np.float32), target, np.ones((1, 1), np.float32)
        self.nothing = float(loss.of(*nothing)[0][0])  # lost by who knows nothing
        with threadpool_limits(1):
            strength, axes = eigh(whole.over(spread).covariance, check_finite=False)
        self._strength, self._axes = np.maximum(strength, 0), axes.astype(np.float32)
        level = np.full((len(self._fold), self._columns), 1 / classes)
        along = level[..., None] * self._strength
        self._at = self._coordinates(level, 0 * along, along)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of all unknowns: P, K, D + 1."""
        return len(self._fold), self._columns, len(self._strength) + 1

    def _coordinates(self, level: np.ndarray, first: np.ndarray, second: np.ndarray) -> Coordinates:
        penalised = self._loss.intercept
        return Coordinates.of(self._axes, self._strength, level, first, second, self._ridge, penalised)

    def measure(self, fresh: Part, U: np.ndarray) -> tuple[Coordinates, Coordinates]:
        """Measure curvatures on rows that a solution U has not seen: coordinates before and, in those units, after."""
        before, kernel, offset = self._at, *self._kernels(U, np.arange(len(U)))
        kernel *= self._reach[:, None]

        def work(block: np.ndarray, places: np.ndarray) -> list[np.ndarray]:
            bend = self._loss.curvature(_scores(kernel, offset, block), self._target(fresh.codes[places]))
            along = block / self._spread @ self._axes
            flat = bend.reshape(-1, len(block))
            return [
                bend.sum(axis=2),
                *((flat @ of).reshape(kernel.shape) for of in (along, np.square(along))),
            ]

        sums = [np.zeros(offset.shape), np.zeros(kernel.shape), np.zeros(kernel.shape)]
        for found in sweep(fresh.rows, work, self._jobs, LITTLE):
            for whole, part_of in zip(sums, found, strict=True):
                whole += part_of
        self._at = self._coordinates(*(whole / len(fresh.codes) for whole in sums))
        return before, self._at

    def _target(self, codes: np.ndarray) -> np.ndarray:
        classes = np.arange(self._columns) if self._columns > 1 else np.array([1])
        return (classes[:, None] == codes).astype(np.float32)

    def _kernels(self, U: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(p, K, D) kernels for rows in each problem's own scaling, and (p, K) intercepts."""
        kernel, offset = self._at.some(active).kernels(U)
        return kernel, np.where(self._lacking[active], NEVER, offset) if self._columns > 1 else offset

    def evaluate(self, part: Part, U: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Objectives (p,) and their gradients by U, in one pass."""
        (kernel, offset), reach = self._kernels(U, active), self._reach[active, None]
        folds, ridge = self._fold[active], self._ridge[active]
        mass = np.bincount(part.fold, part.weight, minlength=int(part.fold.max()) + 1)
        total = mass.sum() - np.where(folds >= 0, mass[folds], 0)
        share = (1 / total).astype(np.float32)
        fitted = _Sides(
            kernel * reach, offset, [np.flatnonzero(folds != number) for number in range(len(mass))]
        )

        def work(block: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            losses = np.zeros(len(active))
            product, last = np.zeros(kernel.shape, np.float32), np.zeros(offset.shape)
            for Z, own, problems, residual in fitted.scores(block, part.fold[places]):
                target = self._target(part.codes[places[own]])
                weight = 1 if part.weight is None else part.weight[places[own]].astype(np.float32)
                for at, problem in enumerate(problems):  # what one of them needs stays near the processor
                    each = np.broadcast_to(share[problem] * weight, (1, len(Z)))
                    [lost], [residual[at]] = self._loss.of(residual[at, None], target, each)
                    losses[problem] += lost
                found = residual.reshape(-1, len(Z)) @ Z
                product[problems] += found.reshape(len(problems), *kernel.shape[1:])
                last[problems] += residual.sum(axis=2)
            return losses, product, last

        losses = np.zeros(len(active))
        product, last = np.zeros(kernel.shape), np.zeros(offset.shape)
        for part_of in sweep(part.rows, work, self._jobs, fitted.block):
            for whole, found in zip((losses, product, last), part_of, strict=True):
                whole += found
        by_kernel = (product * reach).astype(np.float32) + ridge[:, None, None].astype(np.float32) * kernel
        losses += 0.5 * ridge * self.dot(kernel, kernel)
        if self._loss.intercept:
            known = np.where(self._lacking[active], 0, offset) if self._columns > 1 else offset
            losses += 0.5 * ridge * np.square(known).sum(axis=1)
            last += ridge[:, None] * known
        return losses, self._at.some(active).gradient(by_kernel, last.astype(np.float32))

    def right(self, part: Part, U: np.ndarray, active: np.ndarray) -> np.ndarray:
        """What share of the rows that its fold holds out each problem gets right, (p,)."""
        kernel, offset = self._kernels(U, active)
        folds, sizes = self._fold[active], np.bincount(part.fold)
        held_out = [np.flatnonzero(folds == number) for number in range(len(sizes))]
        sides = _Sides(kernel * self._reach[active, None], offset, held_out)

        def work(block: np.ndarray, places: np.ndarray) -> np.ndarray:
            found = np.zeros(len(active), np.intp)
            for _, own, problems, scores in sides.scores(block, part.fold[places]):
                codes = part.codes[places[own]]
                if self._columns > 1:
                    right = np.take_along_axis(scores, codes[None, None], axis=1)[:, 0] >= scores.max(axis=1)
                else:
                    right = (scores[:, 0] > 0) == codes
                found[problems] += right.sum(axis=1)
            return found

        return sum(sweep(part.rows, work, self._jobs, sides.block)) / sizes[folds]

    def models(self, U: np.ndarray, solved: np.ndarray, right: np.ndarray) -> list[Linear]:
        """The problems' classifiers; (P,) `solved`, which are at their end, and `right`, as that method has it."""
        kernels, offsets = self._kernels(U, np.arange(len(U)))
        models = []
        for kernel, offset, lacking, where, *counted in zip(
            kernels.astype(np.float64),
            offsets,
            self._lacking,
            self._where,
            solved.tolist(),
            right.tolist(),
            strict=True,
        ):
            intercept = offset - kernel @ (self._mean / where["scale"])
            if self._columns == 1:
                kernel, intercept = np.vstack([0 * kernel, kernel]), np.r_[0, intercept]
            intercept = np.where(lacking, -np.inf, intercept)
            models.append(
                Linear(kernel, intercept, where["shift"], where["scale"], where["mean"], False, *counted)
            )
        return models


class _Sides:
    """Kernels (p, K, D) and intercepts (p, K) of problems, of which some are for each fold's rows: `mine`."""

    def __init__(self, kernel: np.ndarray, offset: np.ndarray, mine: Sequence[np.ndarray]) -> None:
        self._mine = mine
        self._flat = [(kernel[problems], offset[problems]) for problems in mine]
        self.block = max(1, BYTES // (4 * max(offset.size, kernel.shape[2])))  # rows

    def scores(
        self, block: np.ndarray, fold: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Of each fold in a block: its rows, where they are, its problems and their scores of the rows."""
        for number, problems in enumerate(self._mine):
            own = np.flatnonzero(fold == number)
            if len(own) and len(problems):
                Z = block if len(own) == len(block) else block[own]
                yield Z, own, problems, _scores(*self._flat[number], Z)


def _scores(kernel: np.ndarray, offset: np.ndarray, Z: np.ndarray) -> np.ndarray:
    """(p, K, D) kernels, (p, K) intercepts, (k, D) rows: (p, K, k)."""
    scores = (kernel.reshape(-1, kernel.shape[2]) @ Z.T).reshape(*offset.shape, len(Z))
    scores += offset[..., None].astype(np.float32)
    return scores
