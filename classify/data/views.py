"""Rows that a head is fitted on where each picture comes in several views.

Axes: V views, the plain picture first; n pictures; D features. The views (V, n, D) of all pictures are V * n rows,
view by view: row v * n + i is view v of picture i. So the plain pictures keep their numbers, and whoever judges by
them need not know of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cache.workspace import Workspace
from classify.data.splits import TRAIN
from extract.embedding.progress import Progress
from extract.embedding.views import augment
from extract.pictures.policies import Views

if TYPE_CHECKING:
    from classify.data.division import Division

Folds = list[tuple[np.ndarray, np.ndarray]]  # rows to fit, rows held out


def with_views(
    workspace: Workspace,
    division: Division,
    views: Views,
    progress: Progress | None,
    say: Callable[[str], None],
) -> Division:
    """Add views of the training pictures to a division; those that are not in the cache are embedded first."""
    data, train = division.data, np.flatnonzero(division.split.part == TRAIN)
    found = augment(workspace, data, train, views, progress=progress)
    say(f"{views} train, too: {found.to_text()}")
    notes = division.notes
    if found.rejected:
        notes = [
            *notes,
            f"{found.rejected:,} of {found.rows:,} views could not be made, as their pictures cannot be read or have "
            "changed: the plain picture stands for them",
        ]
    rows = found.gather(division.X, data.manifest.key[train])
    return replace(division, X=rows[0], views=rows, notes=notes)


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
