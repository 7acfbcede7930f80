"""Odd ones out: pictures farther from the middle of the nearest class than others are, of all or of their class.

Axes: n pictures, D features, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from cache.text import shortened
from classify.commands.audit.evidence import Evidence
from classify.commands.audit.kinds.issue import NAME, Issue
from classify.data.neighbours.directions import Directions

# How these were chosen: docs/decisions/0032-audit.md.
LEAST = 3.0  # robust standard deviations above the median
ENOUGH = 20  # pictures of a class that has a median of its own
SHRINKAGE = 0.3  # of the covariance towards a multiple of the identity
_BLOCK = 4_096  # rows whitened at a time


def distances(evidence: Evidence) -> NDArray[np.float64]:
    """Mahalanobis distance of each picture to the mean of the nearest class, (n,), as if it were not among them.

    Of rows less their mean, each part brought to the same length, with one shrunk covariance for all classes. Without
    labels the pictures are one class.
    """
    data, label = evidence.data, evidence.label
    spans = [(block.start, block.stop) for block in data.blocks]
    rows = Directions.around(data.embedding, np.arange(len(label)), spans).of(data.embedding)
    code = np.unique(label, return_inverse=True)[1]  # those without a label are one more class
    counts = np.bincount(code)
    means = np.stack([rows[code == number].mean(axis=0) for number in range(len(counts))])
    within = np.zeros((rows.shape[1],) * 2, np.float32)
    for start in range(0, len(rows), _BLOCK):
        some = slice(start, start + _BLOCK)
        apart = rows[some] - means[code[some]]
        within += apart.T @ apart
    within /= len(rows)
    level = np.trace(within) / len(within)
    if not level > 0:
        return np.zeros(len(rows))
    within *= 1 - SHRINKAGE
    within[np.diag_indices(len(within))] += SHRINKAGE * level
    factor = cholesky(within, lower=True, overwrite_a=True, check_finite=False)
    whitening = solve_triangular(
        factor, np.eye(len(factor), dtype=np.float32), lower=True, check_finite=False
    ).T
    centres, square = means @ whitening, np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK):
        white = rows[start : start + _BLOCK] @ whitening
        products = np.einsum("ij,ij->i", white, white)[:, None] - 2 * white @ centres.T
        square[start : start + _BLOCK] = (products + np.einsum("ij,ij->i", centres, centres)).min(axis=1)
    # Without the picture's own share of the covariance (Sherman and Morrison 1950).
    return np.sqrt(np.maximum(square, 0) / np.maximum(1 - (1 - SHRINKAGE) * square / len(rows), 0.05))


def robust_score(distance: NDArray[np.floating]) -> NDArray[np.float64]:
    """How many robust standard deviations each is above the median: (n,).

    (x - median) / (1.4826 MAD): Iglewicz and Hoaglin 1993, "How to Detect and Handle Outliers", ASQC, page 11.
    """
    median = np.median(distance)
    spread = 1.4826 * np.median(np.abs(distance - median))
    return (distance - median) / max(spread, 1e-6 * abs(median), 1e-9)


def outlier_issues(evidence: Evidence) -> list[Issue]:
    """The pictures that are unlike all others, or unlike those of their class, the oddest first."""
    distance, label = distances(evidence), evidence.label
    overall, within = robust_score(distance), np.zeros(len(label))
    for code in range(len(evidence.data.manifest.classes)):
        mine = np.flatnonzero(label == code)
        if len(mine) >= ENOUGH:
            within[mine] = robust_score(distance[mine])
    score = np.maximum(overall, within)
    rows = np.flatnonzero(score > LEAST)
    names, found = evidence.data.manifest.classes, []
    for row in rows[np.argsort(-score[rows], kind="stable")].tolist():
        name = names[label[row]] if label[row] >= 0 else ""
        of = "all pictures" if overall[row] >= within[row] else shortened(name, NAME)
        why = f"{score[row]:.1f} robust standard deviations farther from the nearest class than the median of {of}"
        found.append(Issue("outlier", row, name, float(score[row]), why))
    return found
