"""Multilayer perceptrons as layers of Keras, and the options that shape them."""

import os

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline

from cache.errors import UserError
from classify.heads.calibration import CalibratedHead
from classify.heads.fitting.batch_norm_mlp import BatchNormMLP
from classify.heads.fitting.scaling import LengthScaler, scalings
from classify.heads.mlp import BATCH_NORM, shape_mlp
from classify.heads.table import HEADS, select
from classify.models.dense import unroll
from classify.models.layers import build_head

Data = tuple[np.ndarray, np.ndarray]


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("kind", ["mlp", "root", "parts", BATCH_NORM])
def test_layers_answer_as_the_head(digits: Data, kind: str, two: bool) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    X, y = digits
    if two:
        y = np.where(y < "5", "low", "high")
    (head,) = shape_mlp(select(["mlp"]), (48, 24), batch_norm=kind == BATCH_NORM)
    pipeline = head.make().set_params(**{name: values[0] for name, values in head.grid(64).items()})
    if kind == "root":
        pipeline.set_params(scale=scalings("root")[0])
    elif kind == "parts":
        pipeline.set_params(scale=LengthScaler((16, 8, 40)))
    X = 20 * X - 3
    calibrated = CalibratedHead(pipeline.fit(X[:300], y[:300]), temperature=3.0)
    dense = unroll(calibrated)
    scaling = {"root": "root", "parts": "length"}.get(kind, "none")
    assert dense is not None and dense.scaling == scaling
    far = np.concatenate([X[300:], 30 * X[300:]])  # where some probabilities are all but zero
    expected = calibrated.predict_proba(far)
    np.testing.assert_allclose(build_head(dense, 64).predict(far, verbose=0), expected, atol=1e-4)
    assert dense.classes == tuple(calibrated.classes_)
    assert kind == "parts" or (expected.max() > 0.95 and expected.min() < 1e-4)


def test_what_is_no_such_head_stays_out(digits: Data) -> None:
    X, y = digits[0][:100], digits[1][:100]
    for steps in (
        [("classify", MLPClassifier((4,), activation="tanh", max_iter=2))],
        [("odd", MLPClassifier), ("classify", MLPClassifier((4,), max_iter=2))],
    ):
        pipeline = Pipeline(steps[-1:]).fit(X, y)
        pipeline.steps = steps
        assert unroll(_Known(pipeline)) is None
    assert unroll(CalibratedHead(HEADS["ridge"].make().fit(X, y))) is None


class _Known(CalibratedHead):
    n_features_in_ = 64


def test_options_shape_the_mlp_alone() -> None:
    plain = select(["mlp", "ridge"])
    assert shape_mlp(plain) is plain
    shaped, ridge = shape_mlp(plain, (2048, 1024))
    assert shaped.name == "mlp" and ridge is HEADS["ridge"]
    assert shaped.grid(9) == {"classify__hidden_layer_sizes": [(2048, 1024)]}
    assert type(shaped.make()[-1]) is MLPClassifier
    normalised, _ = shape_mlp(plain, None, batch_norm=True)
    assert normalised.name == BATCH_NORM and normalised.grid(9) == HEADS["mlp"].grid(9)
    model = normalised.make()[-1]
    assert type(model) is BatchNormMLP and (model.max_iter, model.random_state) == (30, 0)
    for names, options in ((["logreg", "svm"], {"hidden": (9,)}), (["ridge"], {"batch_norm": True})):
        with pytest.raises(UserError, match=rf"--model mlp with --.*received --model {','.join(names)}"):
            shape_mlp(select(names), **options)  # type: ignore[arg-type]
