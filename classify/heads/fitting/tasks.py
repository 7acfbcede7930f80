"""A head's search, cut into tasks that threads can take one by one.

Axes: N rows, D features, C classes; of a fold n rows to fit and m held out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Params = dict[str, Any]
# Candidate, fold, columns (k,) of the classes that the fold has, scores (m, k) of its held-out rows.
Result = tuple[int, int, np.ndarray, np.ndarray]
# Yields what is finished together; between two yields a search may stop.
Task = Callable[[], Iterator[list[Result]]]


@dataclass(frozen=True)
class Fold:
    """One fold as its candidates see it: preprocessed by what was fitted on its own rows alone."""

    Z: np.ndarray  # (n, D)
    y: np.ndarray  # (n,) class codes
    V: np.ndarray  # (m, D) held out
    weight: np.ndarray | None  # (n,)

    @property
    def columns(self) -> np.ndarray:
        """(k,) codes of the classes that occur, ascending."""
        return np.unique(self.y)


@dataclass(frozen=True)
class Work:
    """Candidates of one head that share their preprocessing, on all folds."""

    template: Pipeline  # unfitted; its last step is the classifier
    candidates: Sequence[tuple[int, Params]]  # number, and settings of the classifier
    X: np.ndarray  # (N, D)
    codes: np.ndarray  # (N,) int, 0..classes - 1
    classes: int
    folds: Sequence[tuple[np.ndarray, np.ndarray]]  # rows to fit, rows held out
    weight: np.ndarray | None = None  # (N,)

    def fold(self, number: int) -> Fold:
        """Preprocess a fold."""
        from sklearn.base import clone

        fit, held = self.folds[number]
        Z, V = self.X[fit], self.X[held]
        if len(self.template.steps) > 1:
            before = clone(self.template[:-1]).fit(Z)
            Z, V = before.transform(Z), before.transform(V)
        return Fold(Z, self.codes[fit], V, None if self.weight is None else self.weight[fit])


Fitter = Callable[[Work], list[Task]]
# The tasks of a search, and how many of them go on at once; None: as the search is told.
Spread = Callable[[Fitter, Sequence[Work]], tuple[list[Task], int | None]]
FoldFitter = Callable[[Any, Sequence[tuple[int, Params]], Fold], Iterator[tuple[int, np.ndarray]]]


def by_fold(fit: FoldFitter) -> Fitter:
    """Make a fitter of a function that fits all candidates on one fold; each fold is a task."""

    def run(work: Work, number: int) -> Iterator[list[Result]]:
        fold = work.fold(number)
        for candidate, scores in fit(work.template[-1], work.candidates, fold):
            yield [(candidate, number, fold.columns, scores)]

    return lambda work: [partial(run, work, number) for number in range(len(work.folds))]


def tasks_of(fitter: Fitter, works: Sequence[Work]) -> list[Task]:
    """All tasks of a search, always in the same order."""
    return [task for work in works for task in fitter(work)]


def here(fitter: Fitter, works: Sequence[Work]) -> tuple[list[Task], int | None]:
    """The `Spread` of this process."""
    return tasks_of(fitter, works), None
