"""The head that learns while a person labels: a logistic regression on directions.

Axes: u pictures, n labels, D features, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from classify.heads.fitting.logistic import solve
from classify.heads.fitting.scores import with_first_at_zero

STRENGTH, TOLERANCE = 10.0, 1e-3  # C on rows of length 1, and of the gradient


@dataclass(frozen=True, eq=False)
class Head:
    """Scores of the classes that have a label; the others are never its answer."""

    classes: int  # C
    known: NDArray[np.intp]  # codes of the classes it has seen, ascending
    kernel: NDArray[np.float32]  # (D, K)
    intercept: NDArray[np.float32]  # (K,)

    def probability(self, directions: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (m, C) for (m, D)."""
        found = np.zeros((len(directions), self.classes))
        scores = with_first_at_zero(directions @ self.kernel + self.intercept)
        found[:, self.known] = softmax(scores.astype(np.float64), axis=1)
        return found


def learn(directions: NDArray[np.float32], label: NDArray[np.integer], classes: int) -> Head | None:
    """Fit a head on (n, D) directions with (n,) labels; None where there are not two classes yet."""
    known, codes = np.unique(label, return_inverse=True)
    if len(known) < 2:
        return None
    fit = [np.arange(len(codes))]
    kernel, intercept = solve(
        directions, codes, len(known), fit, [STRENGTH], standardise=False, tol=TOLERANCE
    )
    return Head(classes, known, kernel[0], intercept[0])
