"""What training did, epoch by epoch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """One pass over the training rows; losses in nats, of the smoothed targets if they are smoothed.

    `loss` and `accuracy` are means over the batches as they were trained on; `val_loss`, `val_accuracy` and
    `calibrated_loss` (after temperature scaling) those of the weights after the epoch.
    """

    number: int  # from 1; 0 is the head, before the first step
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float  # at the end of the epoch
    seconds: float
    calibrated_loss: float = math.nan  # NaN where nothing validates


@dataclass(frozen=True)
class Interpolation:
    """A point on the line from the head (alpha 0) to the trained weights (alpha 1), on the validation part."""

    alpha: float
    val_accuracy: float
    val_loss: float
    calibrated_loss: float


@dataclass(frozen=True)
class History:
    """All epochs, the one whose weights were kept, and the line from the head to it."""

    epochs: Sequence[Epoch]  # the first is number 0
    best: int  # number of an epoch
    line: Sequence[Interpolation]
    alpha: float  # the chosen point
    val_n: int  # pictures that validate; with folds, all training pictures, each out of its fold
    folds: int = 0  # of cross-validation; 0: a validation part
