import json
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from classify.heads.fitting.scaling import (
    LengthScaler,
    RootScaler,
    of_parts,
    scaling_name,
    scalings,
    split_scaling,
)
from classify.heads.search import Candidate

NAMES = ("none", "length", "standard", "root")


@parametrize_with_checks([LengthScaler(), RootScaler()])
def test_they_are_scikit_learns_kind_of_transformer(estimator: Any, check: Any) -> None:
    check(estimator)


def test_rows_get_the_length_of_standardised_ones() -> None:
    X = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    X[2] = 0
    found = LengthScaler().fit_transform(X)
    assert found.dtype == np.float32 and (found[2] == 0).all()
    np.testing.assert_allclose((found[[0, 1, 3, 4]] ** 2).mean(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found[0] / found[0, 0], X[0] / X[0, 0], rtol=1e-5)


def test_the_root_keeps_the_sign() -> None:
    found = RootScaler().fit_transform(np.array([[4.0, -9.0, 0.0]], np.float32))
    assert found.tolist() == [[2, -3, 0]] and found.dtype == np.float32


@pytest.mark.parametrize("name", NAMES)
def test_a_scaling_knows_its_name(name: str) -> None:
    made = scalings(name)[0]
    assert scaling_name(made) == name
    if name != "none":
        assert scaling_name(clone(made)) == name
    settings = Candidate({"scale": made, "classify__C": 1.0}, np.zeros(1)).settings
    assert json.loads(json.dumps(settings)) == {"scale": name, "C": 1.0}


def test_the_order_is_that_of_the_names() -> None:
    assert [scaling_name(step) for step in scalings(*NAMES[::-1])] == list(NAMES[::-1])
    assert scaling_name(None) == "none"


@pytest.mark.parametrize(
    "step",
    [
        MinMaxScaler(),
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        make_pipeline(RootScaler()),
        make_pipeline(StandardScaler(), RootScaler()),
        make_pipeline(RootScaler(), StandardScaler(with_mean=False)),
        "passthrough nothing",
    ],
    ids=repr,
)
def test_other_steps_have_no_name_and_are_not_shared(step: Any) -> None:
    assert scaling_name(step) is None and split_scaling(step, np.ones((2, 2))) is None


@pytest.mark.parametrize("name", NAMES)
def test_split_scaling_and_what_it_leaves_make_the_whole(name: str) -> None:
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(40, 6)) * rng.uniform(1, 9, 6) + 2).astype(np.float32)
    fit, held = X[:30], X[30:]
    shared = split_scaling(scalings(name)[0], X)
    assert shared is not None
    Z, left = shared
    assert left == (name in ("standard", "root"))
    received = StandardScaler().fit(Z[:30]).transform(Z[30:]) if left else Z[30:]
    whole = Pipeline([("scale", scalings(name)[0])]).fit(fit).transform(held)
    np.testing.assert_allclose(received, whole, rtol=1e-6, atol=1e-6)


def test_each_part_of_a_row_has_its_own_length() -> None:
    X = np.array([[3, 4, 0, 0, 5], [0, 0, 6, 8, 0]], np.float32)
    Z = LengthScaler((2, 2, 1)).fit_transform(X)
    lengths = [np.linalg.norm(part, axis=1) for part in np.split(Z, [2, 4], axis=1)]
    assert np.allclose(lengths, [[2**0.5, 0], [0, 2**0.5], [1, 0]])
    with pytest.raises(ValueError, match="Expected 3 columns"):
        LengthScaler((2, 1)).fit(X)
    assert np.array_equal(LengthScaler((5,)).fit_transform(X), LengthScaler().fit_transform(X))


def test_a_length_of_an_older_version_scales_the_whole_row() -> None:
    X = np.ones((2, 4), np.float32)
    scaler = LengthScaler().fit(X)
    del scaler.__dict__["widths"]  # as it was unpickled
    assert np.allclose(scaler.transform(X), X)


def test_parts_are_never_left_in_their_own_units_where_there_is_a_choice() -> None:
    steps = scalings("standard", "length", "root", "none")
    assert of_parts(steps, (5,)) == steps
    assert [scaling_name(step) for step in of_parts(steps, (2, 3))] == ["standard", "length", "root"]
    assert of_parts(steps, (2, 3))[1].widths == (2, 3)
    assert of_parts(scalings("none"), (2, 3)) == ["passthrough"]
