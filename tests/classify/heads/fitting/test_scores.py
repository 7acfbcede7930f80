import numpy as np
import pytest
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from classify.heads.fitting.scores import class_scores
from classify.heads.table import HEADS

Data = tuple[np.ndarray, np.ndarray]


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("classes", [2, 10])
def test_the_argmax_is_the_pipelines_own_answer(digits: Data, name: str, classes: int) -> None:
    X, y = digits
    keep = y.astype(int) < classes
    X, y = X[keep], y[keep]
    pipeline = HEADS[name].make().fit(X[::3], y[::3])
    scores = class_scores(pipeline, X)
    assert scores.shape == (len(X), classes)
    assert (pipeline.classes_[scores.argmax(axis=1)] == pipeline.predict(X)).all()


def test_a_plain_svc_would_answer_otherwise() -> None:
    # Why the heads are DuelSVCs: libsvm's vote and the argmax of its decision function differ near borders.
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 2)), rng.integers(0, 5, 200)
    grid = rng.normal(size=(2000, 2))
    plain = SVC().fit(X, y)
    assert (class_scores(plain, grid).argmax(axis=1) != plain.predict(grid)).any()
    for name in ("svm", "svm-linear"):
        head = HEADS[name].make().fit(X, y)
        assert (class_scores(head, grid).argmax(axis=1) == head.predict(grid)).all()


def test_softmax_gives_the_probabilities_back(digits: Data) -> None:
    X, y = digits
    two = y < "2"
    logistic = LogisticRegression().fit(X[two], y[two])
    assert np.allclose(softmax(class_scores(logistic, X), axis=1), logistic.predict_proba(X))
    forest = RandomForestClassifier(20, random_state=0).fit(X, y)
    assert np.allclose(softmax(class_scores(forest, X), axis=1), forest.predict_proba(X), atol=1e-9)
