"""How good the head is by now, and what the next labels would bring.

Asked are the pictures that were drawn at random, each by a head that has not seen its label. They are a sample of all
pictures whatever else was asked: clever orders pick hard pictures, and leave easy ones. The order does not know of
them, so that a head without one of them is like the head with all, asked about a new picture.

Axes: u pictures; n labels in the order in which they were given; m of them drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classify.commands.label.head import learn
from classify.commands.label.pool import Pool
from classify.metrics.intervals import wilson

FOLDS, DRAWS = 10, 400
NEXT = 100  # labels that it looks ahead
LEAST = 20  # random answers without which nothing is said of those
_NONE = np.nan


@dataclass(frozen=True)
class Estimate:
    """Accuracy on pictures without a label, with a 95 % interval; and what `NEXT` labels more would add to it."""

    hits: int
    n: int
    gain: float = _NONE  # NaN while nothing can be said
    gain_low: float = _NONE
    gain_high: float = _NONE

    @property
    def accuracy(self) -> float:
        """Share of the n pictures that were answered rightly; NaN for none."""
        return self.hits / self.n if self.n else _NONE

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's."""
        low, high = wilson(self.hits, self.n)
        return float(low), float(high)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values, None for those that are not known."""
        low, high = self.interval
        gain = None if np.isnan(self.gain) else self.gain
        return {
            "accuracy": self.accuracy if self.n else None,
            "accuracy_low": low,
            "accuracy_high": high,
            "accuracy_n": self.n,
            "next": NEXT,
            "gain": gain,
            "gain_low": None if gain is None else self.gain_low,
            "gain_high": None if gain is None else self.gain_high,
        }


def estimate(
    pool: Pool, label: NDArray[np.integer], order: NDArray[np.intp], drawn: NDArray[np.intp], classes: int
) -> Estimate:
    """Judge the head by the pictures that were drawn at random.

    Parameters
    ----------
    pool : Pool
        u pictures.
    label : (u,) int
        -1 for those without.
    order : (n,) int
        Places of those that have one, as they were given.
    drawn : (m,) int
        Those of them that were drawn at random.
    classes : int
    """
    if not len(drawn):
        return Estimate(0, 0)
    right = _right(pool, label, order, drawn, classes)
    hits, n = int(right.sum()), len(drawn)
    if n < LEAST:
        return Estimate(hits, n)
    before = _right(pool, label, order[: len(order) // 2], drawn, classes)
    return Estimate(hits, n, *_gain(right, before, len(order)))


def _right(
    pool: Pool, label: NDArray[np.integer], order: NDArray[np.intp], drawn: NDArray[np.intp], classes: int
) -> NDArray[np.bool_]:
    """(m,) whether each drawn picture is answered rightly by a head without a tenth of them, itself among it."""
    right = np.zeros(len(drawn), bool)
    for fold in range(min(FOLDS, len(drawn))):
        held = np.arange(len(drawn)) % FOLDS == fold
        fit = order[~np.isin(order, drawn[held])]
        head = learn(pool.directions[fit], label[fit], classes)
        if head is not None:
            answer = head.probability(pool.directions[drawn[held]]).argmax(axis=1)
            right[held] = answer == label[drawn[held]]
        elif len(fit):
            right[held] = label[drawn[held]] == label[fit[0]]
    return right


def _gain(right: NDArray[np.bool_], before: NDArray[np.bool_], labels: int) -> tuple[float, float, float]:
    """What `NEXT` labels bring, if errors go on to fall as they did since half the labels: with a 95 % range.

    Errors are a power of the labels (Hestness and others 2017); the range is of a bootstrap of the pictures.
    """
    picked = np.random.default_rng(0).integers(0, len(right), (DRAWS, len(right)))
    picked[0] = np.arange(len(right))
    now, then = (np.clip(1 - each[picked].mean(axis=1), 0.5 / len(right), 1) for each in (right, before))
    exponent = np.clip(np.log2(then / now), 0, 1)
    gain = now * (1 - (1 + NEXT / labels) ** -exponent)
    low, high = np.quantile(gain, (0.025, 0.975))
    return float(gain[0]), float(low), float(high)
