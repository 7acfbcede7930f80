"""Logits are judged as if they were calibrated, and pictures of unknown classes are told apart."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from classify.heads.calibration import fit_temperature
from classify.training.validation import better, judge


def logits(n: int = 200, spread: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of three classes that are right more often than not."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, 3, n)
    found = random.normal(size=(n, 3)) * spread
    found[np.arange(n), codes] += 2
    return found, codes


def test_the_calibrated_loss_knows_no_factor() -> None:
    found, codes = logits()
    one = judge(found, codes)
    for factor in (0.1, 20.0):
        other = judge(found * factor, codes)
        assert other.calibrated_loss == pytest.approx(one.calibrated_loss, abs=1e-4)
        assert other.accuracy == one.accuracy
        assert other.loss > one.calibrated_loss + 0.01


def test_the_figures_are_those_of_the_pictures() -> None:
    found, codes = logits(7)
    one = judge(found, codes)
    assert one.accuracy == (found.argmax(axis=1) == codes).mean()
    assert one.loss == pytest.approx(-log_softmax(found, axis=1)[np.arange(7), codes].mean())
    temperature = fit_temperature(found, codes)
    expected = -log_softmax(found / temperature, axis=1)[np.arange(7), codes]
    np.testing.assert_allclose(one.own, expected)
    assert one.calibrated_loss == pytest.approx(expected.mean())


def test_unknown_classes_are_errors_and_decide_nothing_else() -> None:
    found, codes = logits(60)
    odd = np.random.default_rng(1).normal(size=(40, 3)) * 50
    one, more = judge(found, codes), judge(np.vstack([odd, found]), np.r_[np.full(40, -1), codes])
    assert more.accuracy == pytest.approx(one.accuracy * 0.6)
    assert more.calibrated_loss == one.calibrated_loss and np.array_equal(more.own, one.own)
    assert more.loss > one.loss + 5


def test_nothing_known_is_no_loss() -> None:
    found, _ = logits(5)
    one = judge(found, np.full(5, -1))
    assert one.accuracy == 0 and np.isnan(one.calibrated_loss) and len(one.own) == 0
    assert not better(one, one)


def test_better_is_more_than_one_standard_error() -> None:
    """Own losses that differ by a little less or more than the standard error of the difference."""
    found, codes = logits(100)
    other = judge(found, codes)
    noise = np.random.default_rng(2).normal(size=100)
    noise = (noise - noise.mean()) / noise.std(ddof=1) * 10  # a standard error of 1
    for gain, said in ((0.99, False), (1.01, True), (-1.01, False)):
        one = replace(other, own=other.own - gain - noise)
        assert better(one, other) == said
        assert not better(replace(one, accuracy=one.accuracy - 0.01), other)
        assert better(one, other, errors=0.98) == (gain > 0) and not better(one, other, errors=1.02)
    assert not better(other, other)
