"""scikit-learn's SVC and nearest neighbours, changed where embeddings need it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from classify.heads.fitting.scores import weakest_duel


class DuelSVC(SVC):
    """SVC (one-vs-one) whose score of a class is its weakest duel: the lowest margin against any other class.

    scikit-learn's one-vs-rest scores of an SVC count won duels, with the margins squeezed into (-1/3, 1/3):
    nearly every prediction gets the same lead, so that no temperature makes good probabilities of them. The
    sum of the margins keeps them, but lets duels among classes that are out of the question decide. The
    weakest duel (the minimax rule of voting; Simpson 1969, Kramer 1977) does neither: a class that wins all
    its duels, as SVC's answer nearly always does, alone has a positive score.

    Parameters
    ----------
    kernel : "rbf", "linear", "precomputed", ...
    C, gamma : as in SVC
    """

    def __init__(self, kernel: str = "rbf", C: float = 1.0, gamma: float | str = "scale") -> None:
        super().__init__(kernel=kernel, C=C, gamma=gamma, decision_function_shape="ovo")

    def decision_function(self, X: Any) -> np.ndarray:
        """Score (n, D) rows: (n, C) float64, or (n,) for two classes, positive for the second."""
        margins = super().decision_function(X)
        if margins.ndim == 1:
            return margins
        return weakest_duel(margins, len(self.classes_))

    def predict(self, X: Any) -> np.ndarray:
        """Return the class with the highest score of each row, (n,)."""
        scores = self.decision_function(X)
        codes = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[codes]


class Neighbours(KNeighborsClassifier):
    """KNeighborsClassifier that asks all rows where there are fewer than `n_neighbors`, instead of failing."""

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:
        """As in scikit-learn, for at most as many neighbours as there are."""
        there = self.n_samples_fit_ - (X is None)
        return super().kneighbors(X, min(n_neighbors or self.n_neighbors, there), return_distance)
