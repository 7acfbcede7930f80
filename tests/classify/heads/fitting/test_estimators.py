from itertools import combinations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_predict
from sklearn.svm import SVC

from classify.heads.calibration import fit_temperature
from classify.heads.fitting.estimators import DuelSVC
from classify.heads.fitting.scores import weakest_duel

Data = tuple[np.ndarray, np.ndarray]


def test_the_weakest_duel_by_hand() -> None:
    # Of 0 and 1, 0 and 2, 1 and 2: class 0 wins both duels, 1 and 2 lose to it by 2 and by 3.
    assert weakest_duel(np.array([[2.0, 3.0, -1.0]]), 3).tolist() == [[2, -2, -3]]
    # A circle: nobody wins all; the smallest defeat is class 1's.
    assert weakest_duel(np.array([[1.0, -2.0, 3.0]]), 3).tolist() == [[-2, -1, -3]]


def test_it_is_the_minimum_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    margins = rng.normal(size=(20, 15))
    table = np.full((20, 6, 6), np.inf)
    for column, (i, j) in enumerate(combinations(range(6), 2)):
        table[:, i, j], table[:, j, i] = margins[:, column], -margins[:, column]
    assert (weakest_duel(margins, 6) == table.min(axis=2)).all()


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_it_answers_as_an_svc_where_a_class_wins_all_its_duels(digits: Data, kernel: str) -> None:
    X, y = digits
    ours, theirs = (
        DuelSVC(kernel, C=1.0).fit(X[:300], y[:300]),
        SVC(kernel=kernel, C=1.0).fit(X[:300], y[:300]),
    )
    scores = ours.decision_function(X[300:])
    assert scores.shape == (300, 10) and ((scores > 0).sum(axis=1) <= 1).all()
    clear = scores.max(axis=1) > 0
    assert clear.mean() > 0.95 and (ours.predict(X[300:]) == theirs.predict(X[300:]))[clear].all()
    assert (ours.predict(X[300:]) == ours.classes_[scores.argmax(axis=1)]).all()


def test_two_classes_are_an_svcs_own(digits: Data) -> None:
    X, y = digits
    two = y < "2"
    ours, theirs = DuelSVC("rbf").fit(X[two], y[two]), SVC().fit(X[two], y[two])
    assert (ours.decision_function(X) == theirs.decision_function(X)).all()
    assert (ours.predict(X) == theirs.predict(X)).all()


def test_clones_keep_the_settings() -> None:
    model = clone(DuelSVC("linear", C=3.0).set_params(C=0.5))
    assert model.get_params() == {"kernel": "linear", "C": 0.5, "gamma": "scale"}
    assert model.decision_function_shape == "ovo"


def test_its_probabilities_are_better_than_those_of_won_duels(digits: Data) -> None:
    X, y = digits
    codes = y.astype(int)
    losses = []
    for model in (DuelSVC("rbf", C=10.0), SVC(C=10.0, break_ties=True)):
        scores = cross_val_predict(model, X, codes, method="decision_function")
        losses.append(log_loss(codes, softmax(scores / fit_temperature(scores, codes), axis=1)))
    assert losses[0] < 0.7 * losses[1]
