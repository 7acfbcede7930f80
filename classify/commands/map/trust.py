"""How far a map may be believed: whether what lies together on it is alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEAREST = 10  # on the map
_ROWS = 4_000  # looked at, of more a seeded sample
_BLOCK = 512


def trustworthiness(
    rows: NDArray[np.float32], where: NDArray[np.float64], seed: int = 0
) -> tuple[float, int] | None:
    """Measure whether each picture's nearest on the map are near by their rows, too.

    Venna and Kaski, "Neighborhood Preservation in Nonlinear Projection Methods", 2001: 1 less a normalised sum of how
    far beyond the k nearest, in ranks, each of the k nearest on the map is. 1 is the best; places drawn by lot have
    about 0.5.

    Parameters
    ----------
    rows : (u, D) float32
        Of length 1: their product says how alike they are.
    where : (u, 2) float64
    seed : int

    Returns
    -------
    trustworthiness, pictures : float and int
        How many pictures it was measured on; None where there are fewer than three.
    """
    n = len(rows)
    k = min(NEAREST, (n - 1) // 2)
    if k < 1:
        return None
    looked = np.sort(np.random.default_rng(seed).permutation(n)[:_ROWS])
    beyond = 0
    for start in range(0, len(looked), _BLOCK):
        some = looked[start : start + _BLOCK]
        me = np.arange(len(some))
        distance = ((where[some, None] - where[None]) ** 2).sum(axis=2)
        distance[me, some] = np.inf
        near = np.argpartition(distance, k - 1, axis=1)[:, :k]
        alike = rows[some] @ rows.T
        alike[me, some] = -np.inf
        bound = np.take_along_axis(alike, near, axis=1)
        rank = np.stack([(alike > each[:, None]).sum(axis=1) for each in bound.T], axis=1) + 1
        beyond += int(np.maximum(rank - k, 0).sum())
    return 1 - 2 * beyond / (len(looked) * k * (2 * n - 3 * k - 1)), len(looked)
