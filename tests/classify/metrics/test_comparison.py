import json

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from classify.metrics.comparison import Comparison, compare, mcnemar


def answers(both: int, first: int, second: int, none: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth "a", and predictions of two heads that are right together, one at a time, or not at all."""
    one = np.repeat(["a", "a", "b", "b"], [both, first, second, none])
    two = np.repeat(["a", "b", "a", "c"], [both, first, second, none])
    return np.full(len(one), "a"), one, two


def test_mid_p_by_hand() -> None:
    # The example of Fagerland, Lydersen and Laake 2013: 1 and 7 discordant pairs, 2 * 9/256 - 8/256.
    assert mcnemar(1, 7) == pytest.approx(10 / 256) == mcnemar(7, 1)
    assert mcnemar(2, 2) == pytest.approx(1 - 6 / 16 / 2)
    assert mcnemar(0, 0) == 1


@pytest.mark.parametrize(("b", "c"), [(12, 7), (0, 5), (30, 60), (3, 4)])
def test_mid_p_is_scipys_exact_p_less_the_probability_of_what_was_seen(b: int, c: int) -> None:
    assert mcnemar(b, c) == pytest.approx(binomtest(b, b + c).pvalue - binom.pmf(b, b + c, 0.5))


def test_counts_and_difference() -> None:
    found = compare("svm", "logreg", *answers(600, 12, 7, 24))
    assert (found.n, found.only_first, found.only_second) == (643, 12, 7)
    assert found.difference == pytest.approx(5 / 643) and not found.differs
    assert found.sentence().startswith(
        "svm is right on 12 pictures that logreg gets wrong, and wrong on 7 that it gets right, of 643: "
        "p = 0.26, no difference shown (+0.8 points, 95 % interval "
    )
    assert json.loads(json.dumps(found.to_json()))["p"] == found.p


def test_a_difference_that_rounds_to_nothing_has_no_sign_and_thousands_are_told_apart() -> None:
    told = Comparison("x", "y", 3218, 27, 28, 0.89, -0.0003, -0.005, -0.0004).sentence()
    assert "of 3,218: " in told and "(+0.0 points, 95 % interval -0.5 to +0.0)" in told


def test_the_interval_is_that_of_resampled_rows() -> None:
    truth, one, two = answers(150, 30, 10, 10)
    found = compare("a", "b", truth, one, two)
    gain = (one == truth).astype(float) - (two == truth)
    rng = np.random.default_rng(1)
    drawn = gain[rng.integers(0, 200, (10_000, 200))].mean(axis=1)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.006)
    assert found.low > 0 and found == compare("a", "b", truth, one, two)


def test_the_better_head_is_named_in_either_order() -> None:
    truth, one, two = answers(150, 30, 5, 15)
    assert "p < 0.001, one is better" in compare("one", "two", truth, one, two).sentence()
    assert "p < 0.001, one is better (-12.5 points" in compare("two", "one", truth, two, one).sentence()
    assert "p = 0.004, x is better" in Comparison("x", "y", 9, 1, 0, 0.004, 0.1, 0, 0.2).sentence()


def test_the_same_answers_are_no_difference() -> None:
    found = compare("a", "b", *answers(5, 0, 0, 5))
    assert (found.p, found.low, found.high) == (1, 0, 0) and "no difference shown" in found.sentence()
