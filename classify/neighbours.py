"""The nearest neighbours' vote, also among few rows."""

from __future__ import annotations

from typing import Any

from sklearn.neighbors import KNeighborsClassifier


class Neighbours(KNeighborsClassifier):
    """KNeighborsClassifier that asks all rows where there are fewer than `n_neighbors`, instead of failing."""

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True) -> Any:
        """As in scikit-learn, for at most as many neighbours as there are."""
        there = self.n_samples_fit_ - (X is None)
        return super().kneighbors(X, min(n_neighbors or self.n_neighbors, there), return_distance)
