import json
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from classify.commands.fit_head.curve.learning_curve import (
    SHARES,
    LearningCurve,
    Point,
    learning_curve,
    nested_order,
)
from classify.commands.fit_head.curve.plot import learning_curve_png
from classify.data.labelled import Labelled
from classify.heads.fitting.estimators import DuelSVC

pytestmark = pytest.mark.figures

Data = tuple[np.ndarray, np.ndarray]
Parts = list[tuple[np.ndarray, np.ndarray]]


def parts(y: np.ndarray, folds: int = 3) -> Parts:
    return list(StratifiedKFold(folds, shuffle=True, random_state=0).split(y, y))


class Listener(ClassifierMixin, BaseEstimator):
    """Remembers which rows (numbered by their only feature) it was fitted on and asked about."""

    fits: list[np.ndarray] = []  # noqa: RUF012
    asked: list[np.ndarray] = []  # noqa: RUF012

    def fit(self, X: np.ndarray, y: np.ndarray) -> "Listener":
        self.fits.append(X[:, 0].astype(int))
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        self.asked.append(X[:, 0].astype(int))
        return np.tile(np.arange(len(self.classes_), 0, -1.0), (len(X), 1))


def test_every_start_of_the_order_is_stratified() -> None:
    codes = np.repeat([0, 1, 2], [600, 300, 100])
    order = nested_order(codes, np.random.default_rng(0))
    assert sorted(order) == list(range(1000))
    for m in (10, 37, 100, 500):
        assert np.abs(np.bincount(codes[order[:m]], minlength=3) - m * np.array([0.6, 0.3, 0.1])).max() <= 1
    other = nested_order(codes, np.random.default_rng(1))
    assert (codes[order] == codes[other]).all() and (order != other).any()


def test_draws_are_nested_seeded_and_never_see_the_rows_they_are_scored_on() -> None:
    y = np.repeat(["a", "b", "c"], 200)
    folds = parts(y)
    X = np.arange(600.0)[:, None]
    Listener.fits, Listener.asked = [], []
    curve = learning_curve("fake", make_pipeline(Listener()), Labelled(X, y), folds, n_jobs=1)
    assert len(Listener.fits) == 3 * sum(k for _, k in SHARES)
    for fit, asked in zip(Listener.fits, Listener.asked, strict=True):
        assert not set(fit) & set(asked)
    # One thread: the sizes of a draw follow each other.
    first = [set(fit) for fit in Listener.fits[: len(SHARES)]]
    assert [len(fit) for fit in first] == [4, 8, 20, 40, 80, 200, 400]
    assert all(small < large for small, large in pairwise(first))
    second = Listener.fits[3 * len(SHARES)]
    assert len(second) == 4 and set(second) != first[0]
    assert [len(point.draws) for point in curve.points] == [k for _, k in SHARES]
    assert all(point.accuracy == pytest.approx(1 / 3) for point in curve.points)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_with_all_labels_it_is_the_cross_validated_accuracy(digits: Data, kernel: str) -> None:
    X, y = digits
    pipeline = Pipeline([("scale", StandardScaler()), ("classify", DuelSVC(kernel, C=1.0, gamma=0.01))])
    curve = learning_curve("svm", pipeline, Labelled(X, y), parts(y))
    theirs = cross_val_predict(pipeline, X, y, cv=parts(y))
    assert curve.points[-1].accuracy == pytest.approx((theirs == y).mean(), abs=0.002)
    accuracy = [point.accuracy for point in curve.points]
    assert accuracy == sorted(accuracy) and all(p.low < p.accuracy < p.high for p in curve.points)
    assert curve.n == 600 and curve.folds == 3 and curve.points[-1].size == 400


def test_threads_change_nothing_and_seeds_do(digits: Data) -> None:
    X, y = digits
    model = make_pipeline(LogisticRegression(C=0.1))
    one, two, other = (
        learning_curve("logreg", model, Labelled(X, y), parts(y), n_jobs=jobs, seed=seed)
        for jobs, seed in ((1, 0), (2, 0), (2, 1))
    )
    assert one.to_json() == two.to_json() != other.to_json()
    json.dumps(one.to_json())


def test_sizes_that_leave_a_class_without_rows_are_skipped_with_a_note(digits: Data) -> None:
    X, y = digits
    curve = learning_curve("logreg", make_pipeline(LogisticRegression()), Labelled(X, y), parts(y))
    # 400 rows to fit: 4 and 8 cannot hold ten classes, 20 can.
    assert [point.size for point in curve.points] == [20, 40, 80, 200, 400]
    assert len(curve.notes) == 2 and curve.notes[0].startswith("4 labels (1%) are too few")


def test_sizes_that_the_head_refuses_are_skipped_with_its_words(digits: Data) -> None:
    X, y = digits
    curve = learning_curve("knn", make_pipeline(KNeighborsClassifier(30)), Labelled(X, y), parts(y))
    assert [point.size for point in curve.points] == [40, 80, 200, 400]
    assert any(note.startswith("20 labels: Expected n_neighbors") for note in curve.notes)


def test_a_class_that_a_fold_lacks_altogether_is_an_error_not_a_reason_to_skip(digits: Data) -> None:
    X, y = digits
    y = y.copy()
    y[0] = "alone"
    curve = learning_curve("logreg", make_pipeline(LogisticRegression()), Labelled(X, y), parts(digits[1]))
    assert [point.size for point in curve.points][-1] == 400


def test_weights_reach_the_classifier(digits: Data) -> None:
    X, y = digits
    model = make_pipeline(StandardScaler(), LogisticRegression())
    heavy = np.where(y == "1", 1000.0, 1.0)
    plain, weighted = (learning_curve("l", model, Labelled(X, y, weight=w), parts(y)) for w in (None, heavy))
    assert weighted.points[0].accuracy < plain.points[0].accuracy


def test_a_single_draw_is_as_uncertain_as_those_before_it(digits: Data) -> None:
    X, y = digits
    curve = learning_curve("logreg", make_pipeline(LogisticRegression(C=0.1)), Labelled(X, y), parts(y))
    last, before = curve.points[-1], curve.points[-3]
    assert len(last.draws) == len(curve.points[-2].draws) == 1 and before.draws.std() > 0
    binomial = 3.92 * np.sqrt(last.accuracy * (1 - last.accuracy) / 600)
    assert last.high - last.low > 1.01 * binomial


def test_the_curve_speaks_and_can_be_drawn(digits: Data) -> None:
    X, y = digits
    curve = learning_curve("a$b|c", make_pipeline(LogisticRegression(C=0.1)), Labelled(X, y), parts(y))
    assert "400" in curve.sentence()
    image = Image.open(BytesIO(learning_curve_png(curve)))
    colours = np.asarray(image.convert("RGB")).astype(int)
    assert (abs(colours - [209, 104, 29]).sum(axis=2) < 30).sum() > 100
    none = learning_curve(
        "few", make_pipeline(LogisticRegression()), Labelled(X[:30], y[:30]), parts(y[:30], 2)
    )
    assert none.forecast is None and none.sentence().startswith("The curve does not say")
    assert learning_curve_png(none).startswith(b"\x89PNG")


def test_a_frame_has_a_row_a_size() -> None:
    points = (
        Point(0.1, 40, 0.5, 0.4, 0.6, np.array([0.4, 0.6])),
        Point(1.0, 400, 0.9, 0.8, 0.95, np.array([0.9])),
    )
    frame = LearningCurve("svm", 500, 5, points, None, ()).to_frame()
    assert list(frame) == ["share", "size", "accuracy", "low", "high", "draws"]
    assert frame.dtypes.astype(str).tolist() == ["float64", "int64", "float64", "float64", "float64", "int64"]
    assert frame.iloc[0].tolist() == [0.1, 40, 0.5, 0.4, 0.6, 2]
    assert (LearningCurve("svm", 9, 2, (), None, ()).to_frame().dtypes == frame.dtypes).all()
