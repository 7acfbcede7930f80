"""Training pictures that are set aside to decide when training has gone far enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cache.errors import UserError
from classify.data.division import Division
from classify.data.splits import TRAIN, VAL, split


def set_aside(division: Division, val_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide what may be trained on: the data set's own validation part, or a share of the training part.

    Parameters
    ----------
    division : Division
    val_size : float
        Share of each class's training pictures; near copies and groups stay together.
    seed : int
        That of the division.

    Returns
    -------
    fit, val : (f,), (v,) int
        Rows of the manifest.

    Raises
    ------
    UserError
        When there are too few pictures for both.
    """
    part, group = division.split.part, division.split.group
    train, val = np.flatnonzero(part == TRAIN), np.flatnonzero(part == VAL)
    if len(val):
        return train, val
    manifest = division.data.manifest.select(train)
    manifest = replace(manifest, split=np.zeros(len(train), np.uint8))
    try:
        inner = split(manifest, test_size=val_size, seed=seed + 1, groups=group[train])
    except UserError as error:
        raise UserError(
            f"Expected training pictures enough to set {val_size:.0%} of them aside for validation: {error}"
        ) from error
    return train[inner.part == TRAIN], train[inner.part != TRAIN]
