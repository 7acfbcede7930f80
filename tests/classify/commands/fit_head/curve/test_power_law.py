import json
from dataclasses import replace

import numpy as np
import pytest

from classify.commands.fit_head.curve.power_law import Forecast, forecast

SIZES = np.array([20, 40, 100, 200, 400, 1000, 2000])


def law(ceiling: float, drop: float, exponent: float) -> np.ndarray:
    return ceiling - drop * (SIZES / 20) ** -exponent


def test_a_law_is_found_again_and_extrapolated_to_twice_the_labels() -> None:
    found = forecast(SIZES, law(0.95, 0.4, 0.5), np.eye(7) * 1e-6)
    assert found is not None and (found.start, found.labels) == (20, 2000)
    assert (found.ceiling, found.drop, found.exponent) == pytest.approx((0.95, 0.4, 0.5), abs=0.01)
    assert found.gain == pytest.approx(0.4 * (100**-0.5 - 200**-0.5), rel=0.03)
    assert found.gain_low <= found.gain <= found.gain_high
    assert found.at(SIZES) == pytest.approx(law(0.95, 0.4, 0.5), abs=1e-3)
    assert json.loads(json.dumps(found.to_json()))["labels"] == 2000


def test_the_range_holds_the_truth_about_as_often_as_it_says() -> None:
    truth, noise = law(0.95, 0.4, 0.5), np.diag(np.linspace(0.01, 0.004, 7) ** 2) + 3e-5
    rng = np.random.default_rng(0)
    held, total = 0, 60
    for seed in range(total):
        found = forecast(SIZES, rng.multivariate_normal(truth, noise), noise, seed=seed)
        assert found is not None
        held += found.gain_low <= 0.4 * (100**-0.5 - 200**-0.5) <= found.gain_high
    assert held / total >= 0.88


def test_errors_that_all_sizes_share_do_not_widen_the_range() -> None:
    noise = np.diag(np.full(7, 0.003**2))
    alone, shared = (forecast(SIZES, law(0.9, 0.4, 0.5), noise + common) for common in (0, 0.02**2))
    assert alone is not None and shared is not None
    assert shared.gain_high - shared.gain_low < 1.5 * (alone.gain_high - alone.gain_low)


def test_sizes_before_the_law_holds_are_left_out() -> None:
    y = law(0.95, 0.4, 0.5)
    y[:2] = 0.2  # guessing
    found = forecast(SIZES, y, np.eye(7) * 0.005**2)
    assert found is not None and found.start == 100
    assert found.gain == pytest.approx(0.4 * (100**-0.5 - 200**-0.5), rel=0.3)


def test_the_ceiling_is_at_most_1_and_a_falling_curve_gains_nothing() -> None:
    steep = forecast(SIZES, np.linspace(0.5, 0.99, 7), np.eye(7) * 0.05**2)
    assert steep is not None and steep.ceiling <= 1
    falling = forecast(SIZES, np.linspace(0.9, 0.89, 7), np.eye(7) * 0.02**2)
    assert falling is not None and falling.gain == 0


def test_too_few_sizes_or_no_steady_course_give_nothing() -> None:
    assert forecast(SIZES[:3], law(0.9, 0.4, 0.5)[:3], np.eye(3) * 1e-4) is None
    assert forecast(SIZES, np.array([0.5, 0.9, 0.5, 0.9, 0.5, 0.9, 0.5]), np.eye(7) * 1e-5) is None


def test_the_sentence_says_flat_noisy_or_how_much() -> None:
    found = Forecast(0.95, 0.4, 0.5, 20, 2000, 0.012, 0.008, 0.02)
    assert found.sentence() == (
        "Going from 2,000 to 4,000 labels would probably bring +1.2 points of accuracy (95 % range +0.8 to +2.0), "
        "if the curve goes on as it did."
    )
    assert replace(found, gain_low=0.0, gain_high=0.004).sentence().startswith("The curve is flat")
    assert replace(found, gain_low=0.001, gain_high=0.05).sentence().startswith("The curve is too noisy")
