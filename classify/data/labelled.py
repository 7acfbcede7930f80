"""Rows with their classes: what a head is fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classify.data.views import shared_weight


@dataclass(frozen=True)
class Labelled:
    """n rows to fit and to cross-validate on.

    Fits are on all views of their rows, which share the row's weight; what a fold holds out, and what accuracy and
    scores are of, is X alone.
    """

    X: np.ndarray  # (n, D) float32 or float64
    y: np.ndarray  # (n,) class names
    weight: np.ndarray | None = None  # (n,), in fitting; accuracy is not weighted
    group: np.ndarray | None = (
        None  # (n,) int; those of one are on one side of a fold; None: every row is alone
    )
    views: np.ndarray | None = None  # (V, n, D), X the first of them; None where there are no others

    def in_all_views(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Name the rows to fit view by view, (V * n, D); with them what `y` (n,) says of each, and their weight."""
        if self.views is None:
            return self.X, y, self.weight
        views, n, width = self.views.shape
        return self.views.reshape(-1, width), np.tile(y, views), shared_weight(self.weight, n, views)
