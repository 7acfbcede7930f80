"""Weights rounded so that a channel stays right on average."""

import numpy as np
import pytest

from extract.engines.rounding import round_weights

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(0, 1, (40, 90)).astype(np.float32)
STEPS = np.abs(ROWS).max(1, keepdims=True) / 127


@pytest.mark.parametrize("means", [np.ones(90), RANDOM.uniform(-1, 3, 90)])
def test_errors_cancel_out_where_they_meet_the_mean(means: np.ndarray) -> None:
    rounded = round_weights(ROWS, means)
    plain = np.rint(ROWS / STEPS) * STEPS
    off, before = (np.abs(((each - ROWS) / STEPS) @ means) for each in (rounded, plain))
    assert off.max() < 0.51 and off.mean() < before.mean() / 5  # half a step is the least for equal means
    whole = rounded / STEPS
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-4)
    assert np.abs((rounded - ROWS) / STEPS).max() < 0.91  # one of the two integers around it
    largest = np.abs(ROWS).argmax(1)
    np.testing.assert_allclose(
        np.take_along_axis(rounded, largest[:, None], 1),
        np.take_along_axis(ROWS, largest[:, None], 1),
        rtol=1e-6,
    )


def test_inputs_that_are_always_zero_and_channels_without_weights() -> None:
    rows = np.zeros((2, 4), np.float32)
    np.testing.assert_array_equal(round_weights(rows, np.zeros(4)), rows)
    plain = np.rint(ROWS / STEPS) * STEPS
    np.testing.assert_allclose(round_weights(ROWS, np.zeros(90)), plain, rtol=1e-6)
