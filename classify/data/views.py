"""Views of the training pictures, to train on beside the plain ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cache.errors import UserError
from cache.workspace import Workspace
from classify.data.division import Division
from classify.data.rows.streamed import Streamed
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
    if isinstance(division.X, Streamed):
        raise UserError(
            f"Expected rows that fit into --max-memory-gb for --views, received {len(division.data.manifest):,} of "
            f"{division.X.shape[1]:,} numbers. Raise it, or leave --views out."
        )
    data, train = division.data, np.flatnonzero(division.split.part == TRAIN)
    rows, notes = list[np.ndarray](), list(division.notes)
    for space in data.spaces:
        found = augment(workspace, data.within([space]), train, views, progress=progress)
        of = f" in {space.backbone}" if len(data.spaces) > 1 else ""
        say(f"{views} train, too{of}: {found.to_text()}")
        if found.rejected:
            notes.append(
                f"{found.rejected:,} of {found.rows:,} views{of} could not be made, as their pictures cannot be read "
                "or have changed: the plain picture stands for them"
            )
        plain = division.within([space]).X
        rows.append(found.gather(plain, data.manifest.key[train]))
    views_of = rows[0] if len(rows) == 1 else np.concatenate(rows, axis=2)
    return replace(division, X=views_of[0], views=views_of, notes=notes)
