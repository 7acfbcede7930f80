"""What became of the limits on pictures that neither the head nor they had seen: figures with n and interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classify.data.rows.blocks import Rows, by_blocks
from classify.limits import abstention, conformal
from classify.limits.learned import Limits
from classify.limits.novelty import Trial
from classify.metrics.intervals import wilson

LEVEL = Fraction(9, 10)
ALARMS = 0.01  # share of pictures as those trained on that may be called unknown
ERRORS = (0.01, 0.02, 0.05)


@dataclass(frozen=True)
class Share:
    """A proportion of n pictures with Wilson's 95 % interval."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, hits: NDArray[np.bool_]) -> Share:
        """Of (n,) pictures; 0 where there is none, of which nothing is known."""
        low, high = wilson(hits.sum(), len(hits))
        return cls(float(hits.sum() / max(1, len(hits))), float(low), float(high), len(hits))


@dataclass(frozen=True)
class Abstaining:
    """What answers from a threshold on were worth: asked for at most `most` wrong, `wrong` of those given were."""

    most: float
    threshold: float
    answered: Share  # of all pictures
    wrong: Share  # of those answered


@dataclass(frozen=True)
class Checked:
    """Sets at a level, by class; how many classes are in one; alarms that were false; answers where sure enough."""

    level: float
    coverage: Share | None  # None where too few training pictures can show the level
    classes: dict[str, Share]
    size: float  # mean number of classes in a set
    empty: float  # share of sets without a class
    n: int  # training pictures that the sets were calibrated on
    score: str  # name of the score that says unknown
    trial: Trial
    alarms: float  # asked for
    false_alarms: Share
    least: float  # the smallest p-value that there can be
    abstaining: Sequence[Abstaining]  # one of each of ERRORS that can be shown to hold

    def to_json(self) -> dict[str, Any]:
        """As plain Python values; what is not known is null."""
        plain = asdict(self)
        plain["trial"] = {name: None if value != value else value for name, value in plain["trial"].items()}
        return plain | {"abstaining": list(plain["abstaining"])}


def check_limits(
    limits: Limits,
    classes: Sequence[str],
    truth: NDArray[np.str_],
    probability: NDArray[np.floating],
    rows: Rows,
) -> Checked:
    """Hold the limits of a head against m pictures that it had not seen.

    Parameters
    ----------
    limits : Limits
    classes : sequence of K str
        The head's.
    truth : (m,) class names
    probability : (m, K) float
    rows : (m, D) float32
    """
    coverage, within, sets = None, dict[str, Share](), np.zeros(probability.shape, bool)
    if len(limits.own) >= conformal.needed(LEVEL):
        sets = limits.sets(probability, LEVEL)
        hit = (sets & (truth[:, None] == np.asarray(classes))).any(axis=1)
        coverage = Share.of(hit)
        within = {str(name): Share.of(hit[truth == name]) for name in np.unique(truth)}
    right = np.asarray(classes)[probability.argmax(axis=1)] == truth
    typical = by_blocks(rows, lambda block, places: limits.novelty.typical(block, probability[places]))
    return Checked(
        level=float(LEVEL),
        coverage=coverage,
        classes=within,
        size=float(sets.sum(axis=1).mean()),
        empty=float((~sets.any(axis=1)).mean()),
        n=len(limits.own),
        score=limits.novelty.name,
        trial=limits.novelty.trial,
        alarms=ALARMS,
        false_alarms=Share.of(typical <= ALARMS),
        least=1 / (1 + len(limits.novelty.known)),
        abstaining=_abstaining(limits, probability.max(axis=1), right),
    )


def _abstaining(
    limits: Limits, sure: NDArray[np.floating], right: NDArray[np.bool_]
) -> tuple[Abstaining, ...]:
    found = ((most, abstention.threshold(limits.sure, limits.right, most)) for most in ERRORS)
    return tuple(
        Abstaining(most, one.least, Share.of(sure >= one.least), Share.of(~right[sure >= one.least]))
        for most, one in found
        if one is not None
    )
