import os
from collections.abc import Iterable
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

from classify.heads.fitting import batch_norm_mlp
from classify.heads.fitting.batch_norm_mlp import BatchNormMLP, loss_and_gradient

Data = tuple[np.ndarray, np.ndarray]
SIZES = [5, 7, 4, 3]


def some_layers() -> list[dict[str, np.ndarray]]:
    """Three layers in float64, none of whose numbers are what training begins with."""
    rng = np.random.default_rng(1)
    flat = rng.normal(size=sum(2 * d + d * h + h for d, h in pairwise(SIZES)))
    return batch_norm_mlp._split(flat, SIZES)


def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(2, 3, size=(11, 5)), rng.integers(0, 3, 11), rng.uniform(0.5, 2, 11)


def test_gradients_are_finite_differences() -> None:
    layers, (x, codes, weight), step = some_layers(), batch(), 1e-6
    slopes = [{name: np.empty_like(value) for name, value in layer.items()} for layer in layers]
    unused = [{name: np.empty_like(value) for name, value in layer.items()} for layer in layers]
    loss_and_gradient(layers, slopes, x, codes, weight)
    for layer, slope in zip(layers, slopes, strict=True):
        for name, values in layer.items():
            for place in np.ndindex(values.shape):
                before, found = values[place], []
                for shifted in (before + step, before - step):
                    values[place] = shifted
                    found.append(loss_and_gradient(layers, unused, x, codes, weight))
                values[place] = before
                assert slope[name][place] == pytest.approx((found[0] - found[1]) / (2 * step), abs=1e-7), name


def test_it_answers_as_keras_layers_do() -> None:
    """In training by the batch's statistics; afterwards, folded, by those of all rows."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    layers, (x, codes, weight) = some_layers(), batch()
    model = keras.Sequential([keras.Input((5,))])
    for number, layer in enumerate(layers):
        model.add(keras.layers.BatchNormalization(epsilon=1e-3))
        last = number == len(layers) - 1
        model.add(keras.layers.Dense(layer["kernel"].shape[1], "softmax" if last else "relu"))
        zero, one = np.zeros_like(layer["beta"]), np.ones_like(layer["beta"])
        model.layers[-2].set_weights([layer["gamma"], layer["beta"], zero, one])
        model.layers[-1].set_weights([layer["kernel"], layer["bias"]])
    chance = np.asarray(model(x, training=True))
    slopes = [{name: np.empty_like(value) for name, value in layer.items()} for layer in layers]
    loss = loss_and_gradient(layers, slopes, x, codes, weight)
    assert loss == pytest.approx(float(-(weight * np.log(chance[np.arange(11), codes])).mean()), rel=1e-4)

    fitted = BatchNormMLP()
    fitted.classes_, fitted.n_features_in_ = np.arange(3), 5
    fitted.coefs_, fitted.intercepts_ = batch_norm_mlp._folded(layers, x)
    # With all rows as the batch, Keras' own statistics are the population's.
    np.testing.assert_allclose(fitted.predict_proba(x.astype(np.float32)), chance, atol=1e-4)


def test_it_learns_and_is_repeatable(digits: Data) -> None:
    X, y = digits
    make = partial(BatchNormMLP, (64, 32), batch_size=64, random_state=0)
    one, two, other = make().fit(X[:400], y[:400]), make().fit(X[:400], y[:400]), make(random_state=1)
    assert one.score(X[400:], y[400:]) > 0.75 and one.loss_curve_[-1] < 0.1 < 2 < one.loss_curve_[0]
    assert all((a == b).all() and a.dtype == np.float32 for a, b in zip(one.coefs_, two.coefs_, strict=True))
    assert (other.fit(X[:400], y[:400]).coefs_[0] != one.coefs_[0]).any()
    assert [c.shape for c in one.coefs_] == [(64, 64), (64, 32), (32, 10)] and one.n_iter_ == 30


def test_rows_go_through_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many at a time as there is room for; what comes out is the same to float32 rounding."""
    X = np.random.default_rng(0).normal(1000, 3, size=(1003, 5)).astype(np.float32)
    layers = some_layers()
    x, expected = X.astype(np.float64), []
    for layer in layers:
        scale = layer["gamma"] / np.sqrt(x.var(axis=0) + 1e-3)
        kernel = layer["kernel"] * scale[:, None]
        bias = (layer["beta"] - x.mean(axis=0) * scale) @ layer["kernel"] + layer["bias"]
        expected.append((kernel, bias))
        x = np.maximum(x @ kernel + bias, 0)
    held = []
    statistics = batch_norm_mlp._statistics

    def spy(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        blocks = list(blocks)
        held.append([len(block) for block in blocks])
        return statistics(blocks)

    monkeypatch.setattr(batch_norm_mlp, "_statistics", spy)
    whole = batch_norm_mlp._folded(layers, X)
    monkeypatch.setattr(batch_norm_mlp, "ROWS", 100)
    blocked = batch_norm_mlp._folded(layers, X)
    assert held == 3 * [[1003]] + 3 * [[100] * 10 + [3]]
    for found in (whole, blocked):
        for kernel, bias, (k, b) in zip(*found, expected, strict=True):
            np.testing.assert_allclose(kernel, k, rtol=1e-4, atol=1e-4 * np.abs(k).max())
            np.testing.assert_allclose(bias, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())
    model = BatchNormMLP()
    model.classes_, model.n_features_in_ = np.arange(3), 5
    model.coefs_, model.intercepts_ = blocked
    in_blocks = model.decision_function(X)
    monkeypatch.setattr(batch_norm_mlp, "ROWS", 2000)
    np.testing.assert_allclose(in_blocks, model.decision_function(X), rtol=1e-5, atol=1e-5)
    assert in_blocks.shape == (1003, 3) and np.ptp(in_blocks) > 1


def test_weights_count(digits: Data) -> None:
    X, y = digits[0][:300], np.where(digits[1][:300] == "8", "eight", "other")
    wrong = np.where(np.arange(300) % 2, "eight", y)  # half of the labels are nonsense, and weigh nothing
    weight = np.where(np.arange(300) % 2, 1e-6, 1.0)
    made = BatchNormMLP((32,), batch_size=32, max_iter=60, random_state=0)
    assert made.fit(X, wrong, weight).score(X, y) > 0.9 > made.fit(X, wrong).score(X, y)
    assert made.fit(X, wrong, 10 * weight).score(X, y) > 0.9


def test_it_is_an_estimator() -> None:
    estimator = BatchNormMLP((20,), max_iter=20, batch_size=16, learning_rate_init=0.02, random_state=0)
    # A row twice is drawn into other batches than a row of twice the weight, as with any stochastic descent.
    expected = {"check_sample_weight_equivalence_on_dense_data": "the order of rows is drawn"}
    check_estimator(estimator, expected_failed_checks=expected, on_skip=None)
