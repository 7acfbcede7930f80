from io import BytesIO

import joblib
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import is_classifier
from sklearn.metrics import log_loss
from sklearn.utils.validation import check_is_fitted

from classify.heads.calibration import CalibratedHead, fit_temperature
from classify.heads.table import HEADS

Data = tuple[np.ndarray, np.ndarray]


def drawn(n: int = 20_000, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose softmax is the truth, multiplied by `scale`, and labels drawn from it."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(n, 4)) * 2
    uniform = rng.random((n, 1))
    return scores * scale, (softmax(scores, axis=1).cumsum(axis=1) < uniform).sum(axis=1).clip(0, 3)


@pytest.mark.parametrize("scale", [0.05, 1.0, 30.0])
def test_the_temperature_undoes_a_scale(scale: float) -> None:
    assert fit_temperature(*drawn(scale=scale)) == pytest.approx(scale, rel=0.05)


def test_no_other_temperature_has_a_lower_log_loss() -> None:
    scores, codes = drawn(3000, scale=5)
    best = fit_temperature(scores, codes)
    losses = [log_loss(codes, softmax(scores / (best * f), axis=1)) for f in (0.8, 1.0, 1.25)]
    assert losses[1] == min(losses)


def test_scores_without_an_error_stay_finite() -> None:
    scores = np.eye(3)[np.arange(30) % 3] * 8
    temperature = fit_temperature(scores, np.arange(30) % 3)
    probability = softmax(scores / temperature, axis=1).max(axis=1)
    # (n + 1) / (n + 2) is what 30 of 30 right predictions warrant, not certainty.
    assert probability == pytest.approx(31 / 32, abs=0.005)


def test_classes_that_a_fold_lacked_are_passed_over() -> None:
    scores, codes = drawn(4000, scale=3)
    full = fit_temperature(scores, codes)
    scores[:50, 0] = -np.inf  # of these, rows of class 0 have no finite loss
    assert fit_temperature(scores, codes) == pytest.approx(full, rel=0.05)
    assert fit_temperature(np.full((3, 2), -np.inf), np.zeros(3, int)) == 1.0


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("classes", [2, 10])
def test_it_predicts_what_the_pipeline_predicts(digits: Data, name: str, classes: int) -> None:
    X, y = digits
    keep = y.astype(int) < classes
    X, y = X[keep], y[keep]
    pipeline = HEADS[name].make().fit(X[::3], y[::3])
    head = CalibratedHead(pipeline, temperature=0.3)
    probability = head.predict_proba(X)
    assert probability.shape == (len(X), classes) and np.allclose(probability.sum(axis=1), 1)
    assert (head.predict(X) == pipeline.predict(X)).all()
    assert (head.classes_[probability.argmax(axis=1)] == head.predict(X)).all()
    assert head.score(X, y) == pipeline.score(X, y)
    buffer = BytesIO()
    joblib.dump((pipeline, head), buffer)
    buffer.seek(0)
    for stored in joblib.load(buffer):
        assert (stored.predict(X) == pipeline.predict(X)).all() and (stored.classes_ == head.classes_).all()
    assert (stored.predict_proba(X) == probability).all() and stored.temperature == 0.3


def test_temperature_one_leaves_logistic_probabilities_alone(digits: Data) -> None:
    X, y = digits
    two = y < "2"
    pipeline = HEADS["logreg"].make().fit(X[two], y[two])
    assert np.allclose(CalibratedHead(pipeline).predict_proba(X), pipeline.predict_proba(X), atol=1e-6)


def test_it_is_a_fitted_classifier_that_can_be_stored(digits: Data) -> None:
    X, y = digits
    head = CalibratedHead(HEADS["svm"].make().fit(X, y), 0.5)
    check_is_fitted(head)
    assert is_classifier(head) and head.fit() is head
    buffer = BytesIO()
    joblib.dump(head, buffer)
    buffer.seek(0)
    assert (joblib.load(buffer).predict_proba(X) == head.predict_proba(X)).all()
    assert head.n_features_in_ == 64
