"""Views of the training pictures, to train on beside the plain ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cache.workspace import Workspace
from classify.data.division import Division
from classify.data.splits import TRAIN
from extract.embedding.progress import Progress
from extract.embedding.views import augment
from extract.pictures.policies import Views


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
