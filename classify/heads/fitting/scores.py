"""One shape of scores for every classifier."""

from __future__ import annotations

from typing import Any

import numpy as np

LEAST_PROBABILITY = 1e-12  # none is 0, so that each has a logarithm


def class_scores(model: Any, X: np.ndarray) -> np.ndarray:
    """Score every class, larger meaning more likely; the argmax is the model's prediction.

    Parameters
    ----------
    model : fitted scikit-learn classifier, or a Pipeline that ends in one
    X : (n, D) float array

    Returns
    -------
    scores : (n, C) float64
        `decision_function`; a two-class z becomes [0, z], whose softmax is the logistic function of z.
        Without a `decision_function`, the logarithm of `predict_proba`, whose softmax gives the probabilities
        back; without either, 1 for the class that `predict` names and 0 for the others.
    """
    if not len(X):
        return np.empty((0, len(model.classes_)))
    steps = getattr(model, "steps", None)
    if steps:
        return class_scores(steps[-1][1], model[:-1].transform(X) if len(steps) > 1 else X)
    if hasattr(model, "centroids_"):
        # NearestCentroid's own decision_function weighs features by their spread, which its predict does not.
        return -0.5 * squared_distances(np.asarray(X, np.float64), model.centroids_.astype(np.float64))
    if hasattr(model, "decision_function"):
        scores = np.asarray(model.decision_function(X), dtype=np.float64)
        return np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores
    if hasattr(model, "kneighbors"):
        return vote_scores(model.predict_proba(X))
    if hasattr(model, "predict_proba"):
        return np.log(np.maximum(model.predict_proba(X), LEAST_PROBABILITY))
    return (np.asarray(model.predict(X))[:, None] == model.classes_).astype(np.float64)


def with_first_at_zero(scores: np.ndarray) -> np.ndarray:
    """(n, 1) scores of the second of two classes over the first become (n, 2); (n, C) stay."""
    return np.hstack([np.zeros_like(scores), scores]) if scores.shape[1] == 1 else scores


def vote_scores(share: np.ndarray) -> np.ndarray:
    """Scores of neighbours' votes, (n, C) shares: no vote out of twenty is not a probability of zero."""
    return np.log(share + 0.01)


def weakest_duel(margins: np.ndarray, classes: int) -> np.ndarray:
    """Find each class's lowest margin.

    Parameters
    ----------
    margins : (n, C * (C - 1) / 2) float array
        Of the pairs (0, 1), (0, 2), ..., (1, 2), ...; positive where the first wins.
    classes : int
        C, at least 2.

    Returns
    -------
    scores : (n, C) float array
    """
    first, second = np.triu_indices(classes, 1)
    scores = np.full((len(margins), classes), np.inf)
    # Pairs come in order of their first class; a stable sort brings them in order of the second.
    starts = np.searchsorted(first, np.arange(classes - 1))
    scores[:, :-1] = np.minimum.reduceat(margins, starts, axis=1)
    order = np.argsort(second, kind="stable")
    starts = np.searchsorted(second[order], np.arange(1, classes))
    lost = np.maximum.reduceat(margins[:, order], starts, axis=1)
    np.minimum(scores[:, 1:], -lost, out=scores[:, 1:])
    return scores


def squared_distances(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """|a - b|^2 of all pairs, (len(A), len(B)), as |a|^2 + |b|^2 - 2 a.b: one BLAS product, O(n^2 D)."""
    distances = A @ B.T
    distances *= -2
    distances += np.einsum("nd,nd->n", A, A)[:, None]
    distances += np.einsum("nd,nd->n", B, B)
    return np.maximum(distances, 0, out=distances)
