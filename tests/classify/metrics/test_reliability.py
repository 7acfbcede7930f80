import json

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics

from classify.metrics.reliability import brier, calibration, expected_calibration_error, log_loss, reliability


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and classes drawn from their softmax."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, 3)) * 2
    codes = (softmax(scores, axis=1).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, 2)
    return scores, codes


def test_scores_by_hand() -> None:
    probability = np.array([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]])
    codes = np.array([0, 2])
    # (0.09 + 0.04 + 0.01 + 0.25 + 0.25 + 1) / 2
    assert brier(probability, codes) == pytest.approx(0.82)
    assert log_loss(probability, codes) == pytest.approx((-np.log(0.7) - np.log(np.finfo(float).eps)) / 2)
    # A class without a column: 0.49 + 0.04 + 0.01 + 1, its own probability 0.
    assert brier(probability[:1], np.array([-1])) == pytest.approx(1.54)
    assert brier(np.eye(2), np.array([0, 1])) == 0 and brier(np.eye(2), np.array([1, 0])) == 2


def test_scores_are_scikit_learns() -> None:
    scores, codes = drawn(500)
    probability = softmax(scores, axis=1)
    theirs = metrics.brier_score_loss(codes, probability, labels=[0, 1, 2], scale_by_half=False)
    assert brier(probability, codes) == pytest.approx(theirs)
    assert log_loss(probability, codes) == pytest.approx(metrics.log_loss(codes, probability))


def test_the_calibration_error_by_hand() -> None:
    # 40 rows make two bins of 20: 0.6 with 15 of 20 right, 0.9 with 16 of 20.
    confidence = np.repeat([0.9, 0.6], 20)
    hit = np.concatenate([np.arange(20) < 16, np.arange(20) < 15])
    assert expected_calibration_error(confidence, hit) == pytest.approx((0.1 + 0.15) / 2)
    # One row less, and there is one bin, in which the two gaps nearly cancel.
    assert expected_calibration_error(confidence[1:], hit[1:]) == pytest.approx(abs(30 - 29.1) / 39)


def test_equal_confidences_are_not_torn_apart() -> None:
    confidence = np.full(300, 0.8)
    hit = np.arange(300) < 240
    assert expected_calibration_error(confidence, hit) == pytest.approx(0)
    assert expected_calibration_error(confidence[::-1], hit[::-1]) == pytest.approx(0)


def test_there_are_15_bins_of_equal_mass() -> None:
    rng = np.random.default_rng(0)
    confidence, hit = np.sort(rng.random(3000)), rng.random(3000) < 0.5
    gaps = [
        abs(c.mean() - h.mean()) for c, h in zip(confidence.reshape(15, -1), hit.reshape(15, -1), strict=True)
    ]
    assert expected_calibration_error(confidence, hit) == pytest.approx(np.mean(gaps))


def test_a_calibrated_head_errs_as_much_as_chance_does_and_another_more() -> None:
    inside = 0
    for seed in range(20):
        scores, codes = drawn(600, seed)
        right = reliability(softmax(scores, axis=1), codes, seed=seed)
        inside += right.chance_low <= right.ece <= right.chance_high
        wrong = reliability(softmax(3 * scores, axis=1), codes, seed=seed)
        assert wrong.ece > wrong.chance_high
    assert inside >= 17  # 19 expected of 20


def test_the_shown_bins_count_every_row_once() -> None:
    probability = np.array([[1.0, 0.0], [0.95, 0.05], [0.55, 0.45], [0.4, 0.6], [0.5, 0.5]])
    found = reliability(probability, np.array([0, 1, 0, 1, 0]))
    assert found.count.tolist() == [0, 0, 0, 0, 0, 2, 1, 0, 0, 2] and found.n == 5
    assert found.accuracy[[5, 6, 9]].tolist() == [1, 1, 0.5]
    assert found.confidence[[5, 6, 9]] == pytest.approx([0.525, 0.6, 0.975])
    assert (found.low <= found.accuracy).all() and (found.low[0], found.high[0]) == (0, 1)


def test_before_is_the_plain_softmax_and_after_has_the_temperature() -> None:
    scores, codes = drawn(3000)
    scores[:5, 0] = -np.inf
    found = calibration(scores * 4, codes, 4.0)
    assert found.after.log_loss < found.before.log_loss and found.after.brier < found.before.brier
    assert found.after.log_loss == pytest.approx(log_loss(softmax(scores, axis=1), codes))
    assert found.before.log_loss == pytest.approx(log_loss(softmax(4 * scores, axis=1), codes))
    assert json.loads(json.dumps(found.to_json()))["after"]["brier"] == found.after.brier
