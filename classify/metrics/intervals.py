"""Confidence intervals of proportions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson(hits: ArrayLike, n: ArrayLike, z: float = Z95) -> tuple[np.ndarray, np.ndarray]:
    """Return the score interval of the proportions `hits / n`.

    Wilson 1927, J. Am. Stat. Assoc. 22(158):209-212: the p for which |hits/n - p| <= z * sqrt(p * (1 - p) /
    n). Unlike the normal approximation it stays inside [0, 1] and holds near 0 and 1.

    Parameters
    ----------
    hits, n : arrays of one shape, or numbers; n need not be whole
        Where n is 0 nothing is known: the interval is [0, 1].

    Returns
    -------
    low, high : float arrays of that shape
    """
    hits, n = np.asarray(hits, np.float64), np.asarray(n, np.float64)
    square, known = z * z, np.maximum(n, 1e-9)
    p = hits / known
    centre = (p + square / (2 * known)) / (1 + square / known)
    half = z / (1 + square / known) * np.sqrt(p * (1 - p) / known + square / (4 * known * known))
    low, high = np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
    return np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0)


def wilson_of_variance(p: float, variance: float, guess: float) -> tuple[float, float]:
    """Return Wilson's interval of a proportion that is no plain count, from its variance.

    The effective sample size guess * (1 - guess) / variance (Korn and Graubard 1998, Survey Methodology
    24:193-201) stands for n.

    Parameters
    ----------
    p : float
        The estimate, 0 to 1.
    variance : float
        Of the estimate, above 0.
    guess : float
        The proportion at which the variance was computed, strictly between 0 and 1.
    """
    n = guess * (1 - guess) / variance
    low, high = wilson(p * n, n)
    return float(low), float(high)
