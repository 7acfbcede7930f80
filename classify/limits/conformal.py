"""Conformal sets: classes that hold the right one as often as was asked for, whatever the head is worth.

The score of a picture is 1 - p(its class) ("LAC": Sadinle, Lei and Wasserman 2019, J. Am. Stat. Assoc. 114:223-234),
and a class is in the set of a new picture if its score there is no larger than the ceil((n + 1) level)-th of n scores.

The scores are out of fold: those of each fold by a head that the others fitted, while the head that answers is fitted
on all. What is guaranteed for that, and what is observed: docs/decisions/0035-limits.md.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError

# Scores from which on a class has a threshold of its own. The coverage that n scores lead to varies as a beta
# distribution (Vovk 2012, Asian Conf. Machine Learning): at n = 100 it is within 0.05 of 0.9 nine times out of ten.
ENOUGH = 100


def needed(level: Fraction) -> int:
    """The fewest scores among which there is a threshold for that level."""
    return math.ceil(level / (1 - level))


def categories(label: NDArray[np.integer], classes: int, least: int) -> NDArray[np.intp]:
    """Which classes share a threshold: those with `least` scores have their own, the smaller ones one together.

    Where the smaller ones have too few together, the next larger class joins them. What holds of a threshold holds
    for the pictures of its category (Mondrian: Vovk, Gammerman and Shafer 2005, section 4.5).

    Parameters
    ----------
    label : (N,) int
        Class of each score, 0 to classes - 1.
    classes : int
        K
    least : int

    Returns
    -------
    (K,) int
        Number of each class's category.
    """
    counts = np.bincount(label, minlength=classes)
    order = np.argsort(counts, kind="stable")
    total = np.cumsum(counts[order])
    pooled = int((counts < least).sum())
    while 0 < pooled < classes and total[pooled - 1] < least:
        pooled += 1
    number = np.arange(classes)
    number[order[:pooled]] = order[0]
    return number


def least_probabilities(
    own: NDArray[np.float64], label: NDArray[np.integer], classes: int, level: Fraction
) -> NDArray[np.float64]:
    """How probable each class must be to be in a set, (K,).

    Parameters
    ----------
    own : (N,) float
        Probability of each picture's own class, by a head that had not seen the picture.
    label : (N,) int
        That class.
    classes : int
        K
    level : Fraction
        How often a set is to hold the right class, between 0 and 1.

    Raises
    ------
    UserError
        When there are too few pictures for that level.
    """
    if len(own) < needed(level):
        most = math.floor(1000 * Fraction(len(own), len(own) + 1)) / 10
        raise UserError(
            f"Expected --sets of at most {most:g}, which is what {len(own):,} training pictures can show, received "
            f"{float(100 * level):g}. Ask for less, or add pictures and run fit-head again."
        )
    number = categories(label, classes, max(ENOUGH, needed(level)))
    least = np.empty(classes)
    for each in np.unique(number):
        scores = np.sort(own[number[label] == each])[::-1]
        least[number == each] = scores[math.ceil((len(scores) + 1) * level) - 1]
    return least


def sets(probability: NDArray[np.floating], least: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which classes are in the set of each picture, (n, K); in an empty set no class is probable enough."""
    return probability >= least
