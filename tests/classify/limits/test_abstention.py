import numpy as np
import pytest
from scipy.stats import beta

from cache.errors import UserError
from classify.limits.abstention import RISK, shown, threshold


def head(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of answers, and whether they are right: half of the pictures are easy."""
    draw = np.random.default_rng(seed)
    sure = np.where(draw.random(n) < 0.5, draw.uniform(0.95, 1, n), draw.uniform(0.4, 0.95, n))
    return sure, draw.random(n) < np.where(sure >= 0.95, 0.995, sure)


def risk(least: float) -> float:
    """The share of wrong answers among those of `head` from a probability on."""
    sure, right = head(400_000, 1_000)
    return float((~right[sure >= least]).mean())


def test_a_threshold_is_bounded_by_its_own_count() -> None:
    sure, right = head(2_000, 1)
    found = threshold(sure, right, 0.05)
    assert found is not None and found.n == 2_000
    given = sure >= found.least
    assert (found.answered, found.wrong) == (given.sum(), (~right[given]).sum())
    # Clopper and Pearson, with the risk divided among the four starts.
    assert found.bound == pytest.approx(beta.ppf(1 - RISK / 4, found.wrong + 1, found.answered - found.wrong))
    assert found.bound <= 0.05 and found.answered > 0.5 * 2_000
    stricter = threshold(sure, right, 0.02)
    assert stricter is not None and stricter.least > found.least


def test_the_bound_fails_no_more_often_than_said() -> None:
    # The true risk is just above what is asked for, wherever the threshold is: each one found is a failure.
    failed = 0
    for seed in range(400):
        draw = np.random.default_rng(seed)
        failed += threshold(draw.random(600), draw.random(600) >= 0.0501, 0.05) is not None
    assert failed <= 400 * RISK + 3 * np.sqrt(400 * RISK * (1 - RISK))


def test_a_surest_picture_with_a_wrong_label_does_not_forbid_all() -> None:
    sure, right = head(2_000, 3)
    right[np.argsort(-sure)[:8]] = False
    found = threshold(sure, right, 0.05)
    assert found is not None and risk(found.least) < 0.05


def test_what_cannot_be_shown_is_refused_with_what_could_be() -> None:
    sure, right = head(120, 0)
    right[:] = True
    assert threshold(sure, right, 0.02) is None  # 0.98 ** 120 is above the risk
    with pytest.raises(UserError, match=r"120 training pictures .* received 2%: .* Ask for 2.5% or more"):
        shown(sure, right, 0.02)
    assert threshold(sure, right, 0.025) is not None
    with pytest.raises(UserError, match="Add pictures and run fit-head again"):
        shown(np.array([0.5]), np.array([False]), 0.5)


def test_all_equal_probabilities_are_one_threshold() -> None:
    found = threshold(np.full(300, 0.7), np.arange(300) >= 3, 0.05)
    assert found is not None and (found.answered, found.wrong, found.least) == (300, 3, 0.7)
    assert threshold(np.empty(0), np.empty(0, bool), 0.5) is None


def test_equal_probabilities_are_answered_together() -> None:
    sure, right = np.repeat([0.9, 0.7], 150), np.ones(300, bool)
    right[225:] = False  # half of those at 0.7
    found = threshold(sure, right, 0.1)
    assert found is not None and (found.least, found.answered, found.wrong) == (0.9, 150, 0)
