"""Rows with their classes: what a head is fitted on, each picture in one view or in several.

Axes: V views, the plain picture first; n pictures; D features. The views (V, n, D) of all pictures are V * n rows,
view by view: row v * n + i is view v of picture i. So the plain pictures keep their numbers, and whoever judges by
them need not know of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from classify.data.rows.blocks import Rows
from classify.data.rows.streamed import Streamed

Folds = list[tuple[np.ndarray, np.ndarray]]  # rows to fit, rows held out


@dataclass(frozen=True)
class Columns:
    """Some columns of X, as a head may use them."""

    name: str  # what people call them, as "top"
    spans: tuple[tuple[int, int], ...]  # first and one past last of each part, from left to right

    @property
    def widths(self) -> tuple[int, ...]:
        """How many columns each part has."""
        return tuple(stop - start for start, stop in self.spans)

    @property
    def width(self) -> int:
        """d, how many columns there are in all."""
        return sum(self.widths)

    def of(self, X: Any) -> Any:
        """(..., D) to (..., d); a view where the parts lie side by side, and of `Streamed` rows these, streamed too."""
        if isinstance(X, Streamed):
            return X.only(self)
        ends = zip(self.spans, self.spans[1:], strict=False)
        if all(before[1] == after[0] for before, after in ends):
            return X[..., self.spans[0][0] : self.spans[-1][1]]
        return np.concatenate([X[..., start:stop] for start, stop in self.spans], axis=-1)


@dataclass(frozen=True)
class Labelled:
    """n rows to fit and to cross-validate on.

    Fits are on all views of their rows, which share the row's weight; what a fold holds out, and what accuracy and
    scores are of, is X alone.
    """

    X: Rows  # (n, D) float32 or float64
    y: np.ndarray  # (n,) class names
    weight: np.ndarray | None = None  # (n,), in fitting; accuracy is not weighted
    group: np.ndarray | None = None  # (n,) int; one side of a fold has all of one; None: every row is alone
    views: np.ndarray | None = None  # (V, n, D), X the first of them; None where there are no others
    choices: tuple[
        Columns, ...
    ] = ()  # what a head may use of X, the simplest first; none: X is one part, used whole

    def in_all_views(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Name the rows to fit view by view, (V * n, D); with them what `y` (n,) says of each, and their weight."""
        if self.views is None:
            return self.X, y, self.weight
        views, n, width = self.views.shape
        return self.views.reshape(-1, width), np.tile(y, views), shared_weight(self.weight, n, views)


def in_all_views(pictures: np.ndarray, n: int, views: int) -> np.ndarray:
    """Name the rows of (k,) pictures out of n in each of their views: (views * k,) int."""
    return (pictures + n * np.arange(views)[:, None]).ravel()


def in_folds(parts: Folds, n: int, views: int) -> Folds:
    """Let folds of n pictures fit on all views of theirs, and hold out plain pictures alone."""
    return [(in_all_views(fit, n, views), held) for fit, held in parts]


def shared_weight(weight: np.ndarray | None, n: int, views: int) -> np.ndarray:
    """Divide each picture's weight among its views, (views * n,).

    The sum stays that of the pictures, and with it what a strength of regularisation means.
    """
    return np.tile(np.ones(n) if weight is None else weight, views) / views
