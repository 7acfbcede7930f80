"""The head, the trained weights, or a point between them: what the validating pictures say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classify.heads.calibration import fit_temperature
from classify.training.batches import TrainingRows
from classify.training.history import Interpolation
from classify.training.loop import logits_of, write_weights
from classify.training.validation import Judgement, better, gained, judge

if TYPE_CHECKING:
    import keras

ALPHAS = tuple(step / 10 for step in range(11))
Arrays = Sequence[np.ndarray]


@dataclass(frozen=True, eq=False)
class Point:
    """What the weights at `alpha` answer on the validating pictures: `logits` (v, C) and their judgement."""

    alpha: float
    logits: np.ndarray
    judgement: Judgement

    @classmethod
    def of(cls, alpha: float, logits: np.ndarray, codes: np.ndarray) -> Point:
        """Judge logits, of classes (v,) `codes`."""
        return cls(alpha, logits, judge(logits, codes))

    def temperature(self, codes: np.ndarray) -> float:
        """What the logits are divided by to make their probabilities right on these pictures."""
        return fit_temperature(self.logits[codes >= 0], codes[codes >= 0])

    def summary(self) -> Interpolation:
        """The figures."""
        found = self.judgement
        return Interpolation(self.alpha, found.accuracy, found.loss, found.calibrated_loss)


def walk(
    model: keras.Model,
    head: Arrays,
    trained: Arrays,
    val: TrainingRows,
    batch_size: int,
    alphas: Sequence[float] = ALPHAS,
    known: Mapping[float, np.ndarray | None] | None = None,
) -> list[Point]:
    """Evaluate (1 - alpha) * head + alpha * trained on the validating pictures.

    `known` has the logits (v, C) at some of the `alphas` already.

    Averaging the weights of a model before and after fine-tuning often beats both (WiSE-FT: Wortsman et al. 2021,
    arXiv 2109.01903). The statistics of batch normalisation are frozen, so that every point is a sound network.
    """
    line = []
    for alpha in alphas:
        logits = (known or {}).get(alpha)
        if logits is None:
            write_weights(model, between(head, trained, alpha))
            logits = logits_of(model, val, batch_size)
        line.append(Point.of(alpha, logits, val.codes))
    return line


def between(head: Arrays, trained: Arrays, alpha: float) -> list[np.ndarray]:
    """Interpolate weights; alpha 0 and 1 give the ends exactly."""
    if alpha in (0.0, 1.0):
        return list(trained if alpha else head)
    return [(1 - alpha) * a + alpha * b for a, b in zip(head, trained, strict=True)]


def choose(line: Sequence[Point], floor: float = 0.0, slack: float = 0.0) -> Point:
    """Choose the point with the lowest calibrated loss, if it is `better` than the head; else the head.

    Parameters
    ----------
    line : sequence of Point
        The first is the head, alpha 0; then by alpha.
    floor : float
        Accuracy of a head that could not be handed off exactly: no point below it is taken.
    slack : float
        Take the first point whose loss is above the lowest by no more than so many standard errors instead.
    """
    least = max(line[0].judgement.accuracy, floor)
    sound = [point for point in line[1:] if point.judgement.accuracy >= least]
    if not sound:
        return line[0]
    best = min(sound, key=lambda point: (point.judgement.calibrated_loss, point.alpha))
    if slack:
        best = next(point for point in sound if point is best or _near(best, point, slack))
    return best if better(best.judgement, line[0].judgement) else line[0]


def _near(best: Point, point: Point, slack: float) -> bool:
    gain, error = gained(best.judgement, point.judgement)
    return gain <= slack * error
