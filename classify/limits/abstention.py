"""Answers only where they are sure enough, so that few of them are wrong: a threshold whose bound holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

from cache.errors import UserError

RISK = 0.05  # that the share of wrong answers is above the bound after all
STARTS = (100, 50, 25, 12)  # per cent of the pictures answered, from which on the thresholds are lowered


@dataclass(frozen=True)
class Threshold:
    """A probability from which on a head answers, and what its answers to pictures that it had not seen were worth."""

    least: float
    answered: int
    wrong: int
    n: int  # pictures in all
    bound: float  # the share of wrong answers is below it, with a risk of RISK


def threshold(sure: NDArray[np.floating], right: NDArray[np.bool_], most: float) -> Threshold | None:
    """Find the lowest threshold above which at most a share `most` of the answers is wrong; None if none can be shown.

    Thresholds that answer 12, 25, 50 or 100 % of the pictures are starts; from each, the threshold is lowered by 1 %
    of the pictures as long as the hypothesis that too many answers are wrong is rejected by the exact binomial test
    (Clopper and Pearson 1934). That is fixed sequence testing with several starts, among which the risk is divided
    (Bauer 1991, Stat. Med. 10:871-890; Angelopoulos, Bates, Candes, Jordan and Lei 2021, "Learn then Test",
    arXiv 2110.01052, section 2.2): the bound holds for whatever threshold is chosen. Which thresholds there are, and
    their order, depends on the probabilities alone, and not on which answers are right.

    Parameters
    ----------
    sure : (N,) float
        Probability of the answer to each picture, by a head that had not seen it.
    right : (N,) bool
        Whether it was right.
    most : float
        Between 0 and 1.
    """
    n = len(sure)
    if not n:
        return None
    order = np.argsort(-sure, kind="stable")
    falling = sure[order]
    places = np.ceil(n * np.arange(1, 101) / 100).astype(int)
    answered = np.searchsorted(-falling, -falling[places - 1], side="right")  # with all that are as sure
    wrong = np.cumsum(~right[order])[answered - 1]
    starts: tuple[int, ...] = STARTS
    while starts and (1 - most) ** answered[starts[-1] - 1] > RISK / len(starts):
        starts = starts[:-1]  # too few answers to show anything, even if all are right
    if not starts:
        return None
    risk = RISK / len(starts)
    rejected = binom.cdf(wrong, answered, most) <= risk
    failed = [np.flatnonzero(~rejected[start - 1 :]) for start in starts]
    reached = [
        start - 1 + (int(stop[0]) if len(stop) else 101 - start)
        for start, stop in zip(starts, failed, strict=True)
    ]
    passed = [last for start, last in zip(starts, reached, strict=True) if last >= start]
    if not passed:
        return None
    last = max(passed) - 1
    m, e = int(answered[last]), int(wrong[last])
    bound = 1.0 if e == m else float(beta.ppf(1 - risk, e + 1, m - e))
    return Threshold(float(falling[m - 1]), m, e, n, bound)


def shown(sure: NDArray[np.floating], right: NDArray[np.bool_], most: float) -> Threshold:
    """As `threshold`.

    Raises
    ------
    UserError
        When no threshold can be shown to hold with so many pictures.
    """
    found = threshold(sure, right, most)
    if found is not None:
        return found
    possible = next(
        (p for p in range(math.ceil(1000 * most), 1000) if threshold(sure, right, p / 1000)), None
    )
    advice = f"Ask for {possible / 10:g}% or more, or add pictures" if possible else "Add pictures"
    raise UserError(
        f"Expected --max-error that {len(sure):,} training pictures can show to hold, received {100 * most:g}%: with "
        f"no threshold is the share of wrong answers surely that small. {advice} and run fit-head again."
    )
