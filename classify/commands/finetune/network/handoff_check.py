"""The check before the first step: the network says what the head says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cache.errors import UserError
from classify.models.linear import LinearHead
from classify.training.batches import TrainingRows
from classify.training.loop import logits_of

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-3  # of a logit
HALF = 0.1  # where the network computes in float16
RELATIVE = 1e-5  # of a logit's size, besides: lda's go beyond 1,000, where float32 is no finer than that


def check(
    model: keras.Model,
    head: LinearHead,
    embedding: np.ndarray,
    live: TrainingRows,
    batch_size: int,
    *,
    half: bool = False,
) -> float:
    """Compare the logits of network and head on every validation picture.

    Parameters
    ----------
    model : keras.Model
        Activations to (B, C) logits.
    head : LinearHead
    embedding : (v, D) float32
        Of the pictures in `live`, from the cache.
    live : TrainingRows
        v pictures whose activations are computed now, in float32.

    Returns
    -------
    float
        The largest difference of a logit, on all v * C.

    Raises
    ------
    UserError
        When one is above 1e-3 (0.1 where the network computes in float16, `half`) plus 1e-5 of the logit.
    """
    expected, received = head.logits(embedding), logits_of(model, live, batch_size)
    difference = np.abs(expected - received)
    worst = float(difference.max())
    tolerance = HALF if half else TOLERANCE
    excess = difference - tolerance - RELATIVE * np.abs(expected)
    if not excess.max() <= 0:
        row, column = np.unravel_index(np.argmax(excess), excess.shape)
        beyond = int((excess > 0).any(axis=1).sum())
        raise UserError(
            f"Expected the network's logits to equal the head's to {tolerance:g} before the first step, on each of "
            f"{len(expected):,} validation pictures; received {received[row, column]:.5f} for "
            f"{expected[row, column]:.5f} (class {head.classes[column]}), and {beyond:,} pictures beyond it. The "
            "backbone or the pictures are no longer what was extracted: run `cache verify --recompute 20`, then "
            "extract and fit-head again."
        )
    return worst
