"""What logistic regression and the linear support vector machine lose on a row, by its scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from classify.heads.fitting.lockstep import log_loss

Evaluated = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Loss:
    """Of P problems with K columns of scores on k rows; of two classes there is the second's column alone, K is 1."""

    of: Callable[[np.ndarray, np.ndarray, np.ndarray], Evaluated]  # as `lockstep.log_loss`
    curvature: Callable[[np.ndarray, np.ndarray], np.ndarray]  # scores, targets: second derivatives (P, K, k)
    intercept: bool  # whether the intercept is penalised, as in scikit-learn's LinearSVC


def _chance(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    if len(target) == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    p = softmax(scores, axis=1)[:, -len(target) :]
    return p * (1 - p)


def _squared_hinge(scores: np.ndarray, target: np.ndarray, share: np.ndarray) -> Evaluated:
    """One class against the others, each for itself (Fan et al. 2008, JMLR 9:1871-1874)."""
    sign = 2 * target - 1
    missing = scores * -sign
    missing += 1
    np.maximum(missing, 0, out=missing)
    losses = np.einsum("pkn,pkn,pn->p", missing, missing, share, dtype=np.float64, optimize=False)
    missing *= -2 * sign
    missing *= share[:, None]
    return losses, missing


def _within(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    return 2.0 * (scores * (2 * target - 1) < 1)


LOGISTIC = Loss(log_loss, _chance, False)
SQUARED_HINGE = Loss(_squared_hinge, _within, True)
