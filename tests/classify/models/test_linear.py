from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from classify.heads.calibration import CalibratedHead
from classify.heads.fitting.estimators import DuelSVC
from classify.heads.fitting.scaling import LengthScaler, scalings
from classify.heads.table import HEADS
from classify.models.layers import build_head
from classify.models.linear import LinearHead, distil, fold

Data = tuple[np.ndarray, np.ndarray]
TEMPERATURE = 0.7
WIDTHS = (16, 8, 40)


def fitted(name: str, scaling: str, digits: Data, classes: int) -> CalibratedHead:
    X, y = digits
    few = y.astype(int) < classes
    pipeline = HEADS[name].make().set_params(scale=scalings(scaling)[0])
    return CalibratedHead(pipeline.fit(X[few][:200], y[few][:200]), TEMPERATURE)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("scaling", ["none", "length", "standard", "root"])
@pytest.mark.parametrize("name", ["logreg", "ridge", "lda"])
def test_folded_logits_are_the_heads_scores(digits: Data, name: str, scaling: str, classes: int) -> None:
    head = fitted(name, scaling, digits, classes)
    linear = fold(head)
    assert linear is not None
    assert linear.scaling == {"standard": "none"}.get(scaling, scaling)
    assert linear.kernel.dtype == linear.bias.dtype == np.float32
    assert linear.kernel.shape == (64, classes) and linear.classes == tuple(map(str, range(classes)))
    X = digits[0][300:]
    np.testing.assert_allclose(linear.logits(X), head.scores(X) / TEMPERATURE, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["logreg", "ridge", "lda", "centroid"])
def test_each_part_of_a_row_may_have_a_length_of_its_own(digits: Data, name: str) -> None:
    X, y = digits
    X = X * np.repeat(np.float32([1, 100, 0.01]), WIDTHS)
    head = CalibratedHead(
        HEADS[name].make().set_params(scale=LengthScaler(WIDTHS)).fit(X[:300], y[:300]), TEMPERATURE
    )
    linear = fold(head)
    assert linear is not None and (linear.scaling, linear.widths) == ("length", WIDTHS)
    X[300, :16] = 0
    expected = head.predict_proba(X[300:])
    np.testing.assert_allclose(softmax(linear.logits(X[300:]), axis=1), expected, atol=1e-4)
    np.testing.assert_allclose(build_head(linear, 64).predict(X[300:], verbose=0), expected, atol=1e-4)
    assert np.abs(softmax(replace(linear, widths=()).logits(X[300:]), axis=1) - expected).max() > 0.1


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("scaling", ["none", "length", "standard", "root"])
def test_centroids_fold_but_for_a_term_that_all_classes_share(
    digits: Data, scaling: str, classes: int
) -> None:
    head = fitted("centroid", scaling, digits, classes)
    linear = fold(head)
    assert linear is not None
    X = digits[0][300:]
    np.testing.assert_allclose(softmax(linear.logits(X), axis=1), head.predict_proba(X), atol=1e-4)


def test_the_large_linear_svm_folds(digits: Data) -> None:
    large = HEADS["svm-linear"].large
    assert large is not None
    head = CalibratedHead(large.make().fit(*digits), TEMPERATURE)
    linear = fold(head)
    assert linear is not None
    np.testing.assert_allclose(
        linear.logits(digits[0]), head.scores(digits[0]) / TEMPERATURE, rtol=1e-4, atol=1e-4
    )


def test_a_single_duel_is_linear_and_several_are_not(digits: Data) -> None:
    head = fitted("svm-linear", "root", digits, 2)
    linear = fold(head)
    assert linear is not None
    X = digits[0]
    np.testing.assert_allclose(linear.logits(X), head.scores(X) / TEMPERATURE, rtol=1e-4, atol=1e-4)
    assert fold(fitted("svm-linear", "root", digits, 3)) is None


@pytest.mark.parametrize("name", ["svm", "knn"])
def test_what_is_not_linear_does_not_fold(digits: Data, name: str) -> None:
    assert fold(fitted(name, "standard", digits, 2)) is None


def test_unknown_scaling_does_not_fold(digits: Data) -> None:
    pipeline = Pipeline([("scale", MinMaxScaler()), ("classify", HEADS["logreg"].make()[-1])])
    assert fold(CalibratedHead(pipeline.fit(*digits))) is None


def test_rows_of_zeros_stay() -> None:
    head = LinearHead("length", np.ones((4, 2), np.float32), np.array([1, 2], np.float32), ("a", "b"))
    assert head.logits(np.zeros((1, 4), np.float32)).tolist() == [[1, 2]]
    assert head.logits(np.array([[0, 3, 0, 4]], np.float32))[0] == pytest.approx([2.4, 3.4])


@pytest.mark.parametrize("classes", [2, 4])
def test_a_distilled_head_answers_as_its_teacher(digits: Data, classes: int) -> None:
    X, y = digits
    few = y.astype(int) < classes
    X, y = X[few], y[few]
    half = len(X) // 2
    pipeline = Pipeline([("scale", scalings("standard")[0]), ("classify", DuelSVC("rbf", C=3.0))])
    teacher = CalibratedHead(pipeline.fit(X[:half], y[:half]), 0.5)
    student = distil(teacher, X[:half])
    assert student.classes == tuple(teacher.classes_) and student.kernel.shape == (64, classes)
    taught = np.array(student.classes)[student.logits(X[half:]).argmax(axis=1)]
    self_taught = HEADS["logreg"].make().fit(X[:half], y[:half]).predict(X[half:])
    agreement = [(answers == teacher.predict(X[half:])).mean() for answers in (taught, self_taught)]
    assert agreement[0] > max(0.8, agreement[1] - 0.02)


def test_distilling_keeps_doubt(digits: Data) -> None:
    # Labels drawn at random: the neighbours are never sure, and neither may the student be.
    X = digits[0]
    y = np.random.default_rng(0).choice(["a", "b", "c"], len(X))
    pipeline = Pipeline([("classify", KNeighborsClassifier(100))]).fit(X, y)
    student = distil(CalibratedHead(pipeline), X)
    assert softmax(student.logits(X), axis=1).max(axis=1).mean() < 0.6
