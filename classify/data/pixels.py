"""Pictures that are dark, bright, blurred, plain, or oddly shaped or sized: told by the facts that `extract` keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extract.pictures.facts import Facts

USUAL = 0.2  # share of pictures from which on something is what these pictures are like, and no fault of some


@dataclass(frozen=True)
class Kind:
    """One kind of oddity: by what it is told, where it begins, and how it is said."""

    name: str
    score: Callable[[Facts], NDArray[np.floating]]  # 1 unremarkable, 0 as odd as can be; NaN unknown
    limit: float  # odd is what scores less
    why: Callable[[Facts, int], str]  # of one of the pictures


@dataclass(frozen=True, eq=False)
class Oddity:
    """What is odd about n pictures in one way."""

    kind: Kind
    score: NDArray[np.float32]  # (n,) 1 unremarkable, 0 as odd as can be; NaN where the facts are unknown
    rows: NDArray[np.intp]  # those that are odd, the oddest first; none, if that is usual here
    usual: int = 0  # how many would be odd, were they not a `USUAL` share of those known


def oddities(facts: Facts) -> list[Oddity]:
    """Find the odd ones among n pictures, kind by kind, in the order of `KINDS`."""
    found = []
    for kind in KINDS:
        score = np.asarray(kind.score(facts), np.float32)
        odd = np.flatnonzero(score < kind.limit)  # no NaN
        usual = len(odd) > max(1, USUAL * np.isfinite(score).sum())
        rows = odd[:0] if usual else odd[np.argsort(score[odd], kind="stable")]
        found.append(Oddity(kind, score, rows, len(odd) if usual else 0))
    return found


def _shape(facts: Facts) -> NDArray[np.floating]:
    """Shorter side over longer side."""
    return np.minimum(facts.width, facts.height) / np.maximum(facts.width, facts.height)


def _size(facts: Facts) -> NDArray[np.floating]:
    """How near the middle of the others' a picture's size is: 0.5 three interquartile ranges beyond their quartiles.

    A size is the logarithm of the number of pixels, so that 9 times as many are as odd as a ninth. The range is taken
    to be at least a factor of 1.2, or in a set of equal pictures a pixel more would be odd.
    """
    size = np.log(np.asarray(facts.width, np.float64) * facts.height)
    if not np.isfinite(size).any():
        return size
    low, high = np.nanpercentile(size, [25, 75])
    reach = (high - low) / 2 + 3 * max(high - low, np.log(1.2))
    return np.maximum(0, 1 - np.abs(size - (low + high) / 2) / (2 * reach))


# Darkness, brightness and shape are CleanVision's, limits too (github.com/cleanlab/cleanvision, image_property.py), of
# luma instead of its own brightness. Sharpness is told at the size that the network sees instead of at 64 pixels, where
# of 300 flowers blurred by 1.5 pixels few are told: docs/decisions/0031-neighbours-and-facts.md.
KINDS = (
    Kind(
        "dark",
        lambda facts: facts.brightest,
        0.32,
        lambda facts, row: f"99 % of it is darker than {facts.brightest[row]:.0%} of white",
    ),
    Kind(
        "bright",
        lambda facts: 1 - facts.darkest,
        0.05,
        lambda facts, row: f"95 % of it is brighter than {facts.darkest[row]:.0%} of white",
    ),
    Kind(
        "blurred",
        lambda facts: np.where(facts.contrast > 0.01, np.minimum(1, facts.sharpness), np.nan),
        0.6,
        lambda facts, row: (
            f"its finest detail is {facts.sharpness[row]:.2f} as strong as its slopes, where 1.1 is usual"
        ),
    ),
    Kind(
        "plain",
        lambda facts: facts.entropy / 8,
        0.2,
        lambda facts, row: f"its pixels have {facts.entropy[row]:.1f} bits of information, of 8",
    ),
    Kind(
        "odd shape",
        _shape,
        0.35,
        lambda facts, row: f"it is {facts.width[row]:.0f} x {facts.height[row]:.0f} pixels",
    ),
    Kind(
        "odd size",
        _size,
        0.5,
        lambda facts, row: (
            f"it is {facts.width[row]:.0f} x {facts.height[row]:.0f} pixels, unlike the others"
        ),
    ),
)
