import numpy as np
import pytest
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier

from classify.heads.fitting.estimators import Neighbours

Data = tuple[np.ndarray, np.ndarray]


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_enough_rows_are_scikit_learns(digits: Data, weights: str) -> None:
    X, y = digits
    ours, theirs = (
        kind(5, weights=weights, algorithm="brute").fit(X[:300], y[:300])
        for kind in (Neighbours, KNeighborsClassifier)
    )
    assert (ours.predict_proba(X[300:]) == theirs.predict_proba(X[300:])).all()


def test_few_rows_all_vote(digits: Data) -> None:
    X, y = digits[0][:8], digits[1][:8]
    few, all_of_them = (clone(Neighbours(k, weights="distance")).fit(X, y) for k in (20, 8))
    assert (few.predict_proba(digits[0]) == all_of_them.predict_proba(digits[0])).all()
    assert few.get_params()["n_neighbors"] == 20
    assert few.kneighbors(n_neighbors=20)[0].shape == (8, 7)  # not itself
