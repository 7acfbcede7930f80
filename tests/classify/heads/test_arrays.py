"""Heads as arrays: the answers are scikit-learn's, for each head of the table, scaling and part."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

from classify.heads.arrays import KINDS
from classify.heads.as_arrays import as_arrays
from classify.heads.calibration import CalibratedHead
from classify.heads.fitting.scaling import LengthScaler, scalings
from classify.heads.mlp import shape_mlp
from classify.heads.table import HEADS, select

Data = tuple[np.ndarray, np.ndarray]
WIDTHS = (16, 8, 40)
LARGE = {f"{name} of many": head.large for name, head in HEADS.items() if head.large}
(NORMED,) = shape_mlp(select(["mlp"]), (12, 6), batch_norm=True)
TABLE = HEADS | LARGE | {"mlp-batch-norm": NORMED}


def fitted(name: str, scaling: str, digits: Data, classes: int, kind: type = np.float32) -> CalibratedHead:
    """The first 300 digits of so many classes."""
    X, y = digits
    few = np.flatnonzero(y.astype(int) < classes)[:300]
    pipeline = TABLE[name].make()
    if name == "mlp":
        pipeline.set_params(classify__hidden_layer_sizes=(12, 6))
    if name == "svm of many":
        pipeline.set_params(kernel__n_components=40, kernel__gamma=1 / 64)
    if name != "mlp-batch-norm":
        step = LengthScaler(WIDTHS) if scaling == "parts" else scalings(scaling)[0]
        pipeline.set_params(scale=step)
    return CalibratedHead(pipeline.fit(X[few].astype(kind), y[few]), 0.7)


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("scaling", ["none", "length", "standard", "root", "parts"])
@pytest.mark.parametrize("name", TABLE)
def test_answers_are_those_of_the_pipeline(digits: Data, name: str, scaling: str, classes: int) -> None:
    head = fitted(name, scaling, digits, classes)
    arrays = as_arrays(head)
    assert arrays is not None and arrays.kind in KINDS
    X = np.concatenate([digits[0][300:], np.zeros((1, 64), np.float32), -30 * digits[0][300:310]])
    for rows, atol in ((X.astype(np.float64), 1e-12), (X, 2e-6)):
        np.testing.assert_allclose(arrays.predict_proba(rows), head.predict_proba(rows), rtol=0, atol=atol)
    assert (arrays.predict(X.astype(float)) == head.predict(X.astype(float))).all()
    assert arrays.classes_.tolist() == head.classes_.tolist() and arrays.n_features_in_ == 64
    assert arrays.predict_proba(X[:0]).shape == (0, classes)


def test_a_copy_of_a_training_row_decides_alone(digits: Data) -> None:
    head = fitted("knn", "standard", digits, 10)
    arrays = as_arrays(head)
    assert arrays is not None
    X = digits[0][:300].astype(float)
    np.testing.assert_allclose(arrays.predict_proba(X), head.predict_proba(X), atol=1e-6)
    assert (arrays.predict(X) == digits[1][:300]).all()


def test_many_rows_are_answered_in_blocks(digits: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = as_arrays(fitted("svm", "standard", digits, 10))
    assert arrays is not None
    whole = arrays.predict_proba(digits[0])
    monkeypatch.setattr("classify.heads.arrays.ROWS", 7)
    np.testing.assert_allclose(arrays.predict_proba(digits[0]), whole, atol=1e-14)


def test_rows_of_another_width_are_refused(digits: Data) -> None:
    arrays = as_arrays(fitted("logreg", "length", digits, 10))
    assert arrays is not None
    with pytest.raises(ValueError, match=r"rows of 64 numbers, received an array \(600, 63\)"):
        arrays.predict(digits[0][:, :63])


def test_what_is_made_of_other_parts_is_not_written(digits: Data) -> None:
    X, y = digits
    few = y.astype(int) < 3
    for steps in (
        [("classify", RandomForestClassifier(3))],
        [("scale", MinMaxScaler()), ("classify", HEADS["logreg"].make()[-1])],
        [("classify", SVC())],
    ):
        assert as_arrays(CalibratedHead(Pipeline(steps).fit(X[few], y[few]))) is None
    pair = CalibratedHead(Pipeline([("classify", SVC())]).fit(X[y < "2"], y[y < "2"]))
    arrays = as_arrays(pair)
    assert arrays is not None
    np.testing.assert_allclose(arrays.predict_proba(X), pair.predict_proba(X), atol=1e-12)
    assert as_arrays(arrays) is arrays
