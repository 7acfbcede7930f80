"""One shape of scores for every classifier."""

from __future__ import annotations

from typing import Any

import numpy as np


def class_scores(model: Any, X: np.ndarray) -> np.ndarray:
    """Score every class, larger meaning more likely; the argmax is the model's prediction.

    Parameters
    ----------
    model : fitted scikit-learn classifier
    X : (n, D) float array

    Returns
    -------
    scores : (n, C) float64
        `decision_function`; a two-class z becomes [0, z], whose softmax is the logistic function of z.
        Without a `decision_function`, the logarithm of `predict_proba`, whose softmax gives the probabilities
        back.
    """
    if not len(X):
        return np.empty((0, len(model.classes_)))
    if not hasattr(model, "decision_function"):
        return np.log(np.maximum(model.predict_proba(X), 1e-12))
    scores = np.asarray(model.decision_function(X), dtype=np.float64)
    if scores.ndim == 1:
        scores = np.stack([np.zeros_like(scores), scores], axis=1)
    return scores
