"""The heads that can be fitted block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from classify.data.rows.blocks import held
from classify.data.rows.streamed import Streamed
from classify.heads.streaming import closed
from classify.heads.streaming.descent import MEMORY, solve
from classify.heads.streaming.form import Less, Setting
from classify.heads.streaming.linear import Linear, place
from classify.heads.streaming.losses import LOGISTIC, SQUARED_HINGE, Loss
from classify.heads.streaming.moments import Moments
from classify.heads.streaming.problems import Part, Problems
from extract.machine import usable_cores

LOT = 0.5e9  # bytes of what descents remember


@dataclass(frozen=True)
class Folds:
    """n rows of one form, divided; `parts` are the moments of each fold's own rows."""

    rows: Streamed
    codes: np.ndarray  # (n,)
    fold: np.ndarray  # (n,) which holds the row out
    weight: np.ndarray | None  # (n,)
    parts: Sequence[Moments]
    jobs: int | None
    reached: float = (
        0.0  # accuracy of the best setting so far: what is clearly behind need not be solved to the end
    )

    @property
    def whole(self) -> Moments:
        """Of all rows."""
        return sum(self.parts[1:], self.parts[0])

    def without(self, number: int) -> Moments:
        """Of the rows that a fold fits on."""
        return self.whole - self.parts[number]


class Fit(Protocol):
    """Fits settings of one form and scaling: of each a model a fold, or with `refit` a single one on all rows."""

    def __call__(
        self, folds: Folds, settings: Sequence[Setting], refit: bool
    ) -> Sequence[Sequence[Linear]]: ...


def _closed(
    solve: closed.Closed, folds: Folds, settings: Sequence[Setting], refit: bool
) -> list[list[Linear]]:
    standard, values, whole = settings[0].standard, [setting.value for setting in settings], folds.whole

    def models(moments: Moments) -> list[Linear]:
        where = place(moments, standard)
        solved = solve(moments.over(where["scale"]), values)
        shift, scale, mean = where["shift"], where["scale"], where["mean"]
        return [Linear(*each, shift, scale, mean, solve is closed.centroid) for each in solved]

    with threadpool_limits(1), ThreadPoolExecutor(folds.jobs or usable_cores()) as pool:
        parts = [whole] if refit else [whole - part for part in folds.parts]
        return [list(of_setting) for of_setting in zip(*pool.map(models, parts), strict=True)]


def _descended(loss: Loss, folds: Folds, settings: Sequence[Setting], refit: bool) -> list[list[Linear]]:
    whole = folds.whole
    fitted = [whole] if refit else [whole - part for part in folds.parts]
    order = np.argsort(folds.fold, kind="stable")  # most blocks of rows that are held are of one fold
    rows = held(folds.rows.only(Less(whole.shift + whole.mean)).select(order), folds.jobs)
    weight = None if folds.weight is None else folds.weight[order]
    part = Part(rows, folds.codes[order], folds.fold[order], weight)
    remembered = 4 * whole.sums.size * len(fitted) * (4 * MEMORY + 8)
    lot, found, reached = max(1, int(LOT // remembered)), list[list[Linear]](), folds.reached
    for start in range(0, len(settings), lot):
        some = settings[start : start + lot]
        values = [setting.value for setting in some]
        problems = Problems(whole, fitted, values, some[0].standard, loss, folds.jobs)
        with threadpool_limits(
            1
        ):  # between passes products are small: threads of BLAS would wait for one another
            models, reached = solve(problems, part, reached)
        found += [models[at : at + len(fitted)] for at in range(0, len(models), len(fitted))]
    return found


STREAMED: Mapping[str, Fit] = {
    "centroid": partial(_closed, closed.centroid),
    "lda": partial(_closed, closed.lda),
    "ridge": partial(_closed, closed.ridge),
    "logreg": partial(_descended, LOGISTIC),
    "svm-linear": partial(_descended, SQUARED_HINGE),
    "svm": partial(_descended, SQUARED_HINGE),
}
