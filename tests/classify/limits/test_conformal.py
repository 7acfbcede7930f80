from fractions import Fraction

import numpy as np
import pytest

from cache.errors import UserError
from classify.limits.conformal import ENOUGH, categories, least_probabilities, needed, sets

NINETY = Fraction(9, 10)


def scores(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, K) that are right on average, and classes drawn from them."""
    draw = np.random.default_rng(seed)
    p = draw.dirichlet(np.full(classes, 0.4), n)
    return p, (p.cumsum(axis=1) > draw.random(n)[:, None]).argmax(axis=1)


def test_a_threshold_is_the_score_that_the_formula_names() -> None:
    own = np.arange(1, 100) / 100  # 99 scores 1 - own: the 90th smallest is that of own = 0.10
    least = least_probabilities(own, np.zeros(99, int), 2, NINETY)
    assert least.tolist() == [0.10, 0.10]
    given = np.array([[0.10, 0.90], [0.09, 0.91], [0.05, 0.05]])
    assert sets(given, least).tolist() == [[True, True], [False, True], [False, False]]


def test_sets_hold_the_right_class_as_often_as_asked() -> None:
    hits, n = [], 200
    for seed in range(60):
        p, label = scores(n + 400, 3, seed)
        least = least_probabilities(p[:n][np.arange(n), label[:n]], label[:n], 3, NINETY)
        hits.append(sets(p[n:], least)[np.arange(400), label[n:]].mean())
    # Between the level and the level + 1 / (n + 1), for each of the categories of some 67 scores.
    assert 0.895 < np.mean(hits) < 0.925


def test_sets_are_those_of_mapie() -> None:
    mapie = pytest.importorskip("mapie.classification", reason="MAPIE is not installed")
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(1)
    label = draw.integers(0, 3, 500)
    X = draw.normal(size=(500, 4)) + 1.2 * np.eye(4)[label]
    head = LogisticRegression().fit(X[:200], label[:200])
    split = mapie.SplitConformalClassifier(head, confidence_level=0.9, conformity_score="lac", prefit=True)
    theirs = split.conformalize(X[200:290], label[200:290]).predict_set(X[290:])[1][:, :, 0]
    own = head.predict_proba(X[200:290])[np.arange(90), label[200:290]]
    least = least_probabilities(own, label[200:290], 3, NINETY)  # fewer than ENOUGH of a class: one threshold
    assert (sets(head.predict_proba(X[290:]), least) == theirs).all()


def test_sets_by_class_are_those_of_crepes() -> None:
    crepes = pytest.importorskip("crepes", reason="crepes is not installed")
    p, label = scores(900, 3)
    level = Fraction(899, 1000)  # at 90 % of 209 scores, crepes takes a p-value of just 10 % as well
    least = least_probabilities(p[:600][np.arange(600), label[:600]], label[:600], 3, level)
    assert len(np.unique(least)) == 3 and np.bincount(label[:600]).min() >= ENOUGH
    for name in range(3):
        mine = label[:600] == name
        # Of one class: what crepes does for class-conditional sets, by hinge scores 1 - p(class).
        conformal = crepes.ConformalClassifier().fit(1 - p[:600][mine, name])
        theirs = conformal.predict_set(1 - p[600:, [name]], confidence=0.899, smoothing=False)[:, 0]
        assert (sets(p[600:], least)[:, name] == theirs.astype(bool)).all()


def test_small_classes_share_a_threshold() -> None:
    label = np.repeat([0, 1, 2, 3], [150, 30, 80, 200])
    assert categories(label, 5, 100).tolist() == [0, 4, 4, 3, 4]  # class 4 has no score
    few = np.repeat([0, 1, 2], [150, 30, 200])
    assert categories(few, 3, 100).tolist() == [1, 1, 2]  # the next larger one joins
    assert categories(np.repeat([0, 1], [3, 4]), 2, 100).tolist() == [0, 0]
    assert categories(np.repeat([0, 1], [100, 101]), 2, 100).tolist() == [0, 1]


def test_a_level_that_cannot_be_shown_is_refused() -> None:
    assert needed(NINETY) == 9 and needed(Fraction(99, 100)) == 99
    own, label = np.linspace(0.1, 1, 12), np.zeros(12, int)
    least_probabilities(own, label, 2, Fraction(92, 100))
    with pytest.raises(UserError, match=r"--sets of at most 92.3, which is what 12 .* received 95"):
        least_probabilities(own, label, 2, Fraction(95, 100))
