"""How good logits are on pictures that were not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from classify.heads.calibration import fit_temperature
from classify.metrics.reliability import log_loss


@dataclass(frozen=True, eq=False)
class Judgement:
    """Figures of n pictures: accuracy, log-loss in nats, and the log-loss after temperature scaling.

    `own` (n,) is each picture's part of the last one. A picture of a class that the head does not know counts as an
    error and is left out of `own`. `logits` (n, C) are what was judged, where it was no probability.
    """

    accuracy: float
    loss: float
    calibrated_loss: float
    own: np.ndarray
    logits: np.ndarray | None = None


def judge(logits: np.ndarray, codes: np.ndarray) -> Judgement:
    """Judge logits.

    The loss after the best temperature (Guo et al. 2017, arXiv 1706.04599) is what epochs and interpolations are
    compared by. Fine-tuning makes a network too sure of itself long before it makes it wrong, and the finished model is
    calibrated anyway: the plain loss would stop it too early.

    Parameters
    ----------
    logits : (n, C) float array
    codes : (n,) int array
        Column of each picture's class, -1 for a class that has none.
    """
    known = np.flatnonzero(codes >= 0)
    temperature = fit_temperature(logits[known], codes[known])
    own = -log_softmax(logits[known] / temperature, axis=1)[np.arange(len(known)), codes[known]]
    return Judgement(
        accuracy=float((logits.argmax(axis=1) == codes).mean()),
        loss=log_loss(softmax(logits, axis=1), codes),
        calibrated_loss=float(own.mean()) if len(own) else float("nan"),
        own=own,
        logits=logits,
    )


def better(one: Judgement, other: Judgement, errors: float = 1.0) -> bool:
    """Whether the first is no less accurate and its loss lower by more than `errors` standard errors.

    They are those of the difference: the pictures are the same, so it is taken picture by picture. Among a few
    pictures some weights do better than the head by luck alone; this asks for more than that, and less than a proof.
    """
    gain, error = gained(one, other)
    return one.accuracy >= other.accuracy and gain > errors * error


def gained(one: Judgement, other: Judgement) -> tuple[float, float]:
    """By how much the calibrated loss of the first is lower than the other's, and the standard error of that, in nats.

    Of one picture, or of none, nothing is known: 0 and infinity.
    """
    gain = other.own - one.own
    if len(gain) < 2:
        return 0.0, float("inf")
    return float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(len(gain)))
