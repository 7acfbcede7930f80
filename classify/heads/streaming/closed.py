"""Heads that moments tell all of: centroid, lda, ridge. Each of moments and strengths: kernels (K, D), intercepts (K,).

In float64. A class without rows has a kernel of zeros and an intercept of -inf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from classify.heads.streaming.moments import Moments

Solved = Iterator[tuple[np.ndarray, np.ndarray]]
Closed = Callable[[Moments, Sequence[float]], Solved]


def centroid(moments: Moments, strengths: Sequence[float]) -> Solved:
    """The nearest of the class means: -|z - m|^2 / 2 less -|z|^2 / 2, which all classes share."""
    there = moments.mass > 0
    means = moments.sums[there] / moments.mass[there, None]
    found = _spread(there, means, -0.5 * np.einsum("cd,cd->c", means, means))
    for _ in strengths:
        yield found


def lda(moments: Moments, strengths: Sequence[float]) -> Solved:
    """As `fitters.fit_lda`: one covariance within classes, shrunk towards a multiple of the identity."""
    there, n = moments.mass > 0, moments.mass.sum()
    means = moments.sums[there] / moments.mass[there, None]
    scatter = (moments.products - moments.sums[there].T @ means) / n
    level, prior = np.trace(scatter) / len(scatter), np.log(moments.mass[there] / n)
    centre = moments.sums.sum(axis=0) / n
    for shrinkage in strengths:
        within = (1 - shrinkage) * scatter
        np.einsum("ii->i", within)[:] += shrinkage * level
        coef = _solve(within, (means - centre).T).T
        intercept = prior - np.einsum("cd,cd->c", means + centre, coef) / 2
        yield _second_over_first(there, coef, intercept)


def ridge(moments: Moments, strengths: Sequence[float]) -> Solved:
    """As `fitters.fit_ridge`: targets of -1 and 1, features and targets centred."""
    there, n = moments.mass > 0, moments.mass.sum()
    total = moments.sums.sum(axis=0)
    level = 2 * moments.mass[there] / n - 1
    right = 2 * moments.sums[there] - total - np.outer(level, total)
    gram = moments.products - np.outer(total, total) / n
    if there.sum() == 2:
        right[0], level[0] = 0, 0  # of two classes the second is told from 0
    diagonal = np.einsum("ii->i", gram)
    before = diagonal.copy()
    for alpha in strengths:
        diagonal[:] = before + alpha
        coef = _solve(gram.copy(), right.T).T
        yield _spread(there, coef, level - coef @ (total / n))


def _solve(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return cho_solve(cho_factor(left, overwrite_a=True, check_finite=False), right, check_finite=False)


def _second_over_first(
    there: np.ndarray, coef: np.ndarray, intercept: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if len(coef) == 2:
        coef, intercept = coef - coef[:1], intercept - intercept[:1]
    return _spread(there, coef, intercept)


def _spread(there: np.ndarray, coef: np.ndarray, intercept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kernel, offset = np.zeros((len(there), coef.shape[1])), np.full(len(there), -np.inf)
    kernel[there], offset[there] = coef, intercept
    return kernel, offset
