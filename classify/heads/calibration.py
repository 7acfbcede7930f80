"""Probabilities from a head's scores, by one temperature."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from classify.heads.arrays import ArrayHead, Tempered
from classify.heads.fitting.scores import class_scores

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_LOG_RANGE = (np.log(1e-3), np.log(1e3))


class CalibratedHead(Tempered, ClassifierMixin, BaseEstimator):
    """A fitted Pipeline whose scores become probabilities: softmax(scores / temperature).

    Already fitted, like scikit-learn's FrozenEstimator. The prediction is the argmax of the scores, which no
    temperature changes and which is the Pipeline's own answer.

    Parameters
    ----------
    pipeline : fitted Pipeline
        Takes (n, D) embeddings.
    temperature : float
        Above 1 softens the probabilities, below 1 sharpens them.
    """

    def __init__(self, pipeline: Pipeline, temperature: float = 1.0) -> None:
        self.pipeline = pipeline
        self.temperature = temperature

    def fit(self, X: np.ndarray | None = None, y: np.ndarray | None = None) -> CalibratedHead:
        """Change nothing: scikit-learn's tools ask for the method."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> np.ndarray:  # type: ignore[override]
        """Class names, (C,), in the order of the columns."""
        return self.pipeline.classes_

    @property
    def n_features_in_(self) -> int:
        """D, the width of the embeddings."""
        # Not the Pipeline's own: that asks its first step, which may be "passthrough".
        return next(
            int(step.n_features_in_) for _, step in self.pipeline.steps if hasattr(step, "n_features_in_")
        )

    def scores(self, X: np.ndarray) -> np.ndarray:
        """Score (n, D) embeddings: (n, C) float64, before the temperature."""
        return class_scores(self.pipeline, X)


def calibrated(head: Pipeline | ArrayHead, temperature: float) -> CalibratedHead | ArrayHead:
    """Give a fitted head its temperature."""
    if isinstance(head, ArrayHead):
        return replace(head, temperature=temperature)
    return CalibratedHead(head, temperature)


def fit_temperature(scores: np.ndarray, codes: np.ndarray) -> float:
    """Find the temperature with the lowest log-loss on scores of rows the models had not seen.

    Temperature scaling is Guo et al. 2017, arXiv 1706.04599. The targets are smoothed to (n + 1) / (n + 2),
    as in Platt 1999, so that scores without a single error do not ask for a temperature of zero.

    Parameters
    ----------
    scores : (n, C) float array
        -inf where a fold's model lacked the class. Rows whose own class is such are left out: no temperature
        changes their loss.
    codes : (n,) int array
        Column of each row's own class.

    Returns
    -------
    temperature : float in [1e-3, 1e3]; 1.0 when no row is left.
    """
    own = np.isfinite(scores[np.arange(len(codes)), codes])
    scores, codes = scores[own].astype(np.float64), codes[own]
    if not len(codes):
        return 1.0
    known = np.isfinite(scores)
    miss = 1 / (len(codes) + 2)
    target = known * miss / np.maximum(known.sum(axis=1, keepdims=True) - 1, 1)
    target[np.arange(len(codes)), codes] = 1 - miss

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(scores / np.exp(log_temperature), axis=1)
        return -float((target * np.where(known, log_p, 0)).sum()) / len(codes)

    return float(np.exp(minimize_scalar(loss, bounds=_LOG_RANGE, method="bounded").x))
