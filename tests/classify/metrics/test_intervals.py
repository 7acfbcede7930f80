import numpy as np
import pytest
from scipy.stats import binomtest

from classify.metrics.intervals import wilson, wilson_of_variance


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (7, 10), (590, 644), (1, 1)])
def test_wilson_is_scipys(hits: int, n: int) -> None:
    theirs = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    low, high = wilson(hits, n)
    assert (float(low), float(high)) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_arrays_are_taken_as_a_whole_and_no_rows_tell_nothing() -> None:
    low, high = wilson(np.array([0, 7, 3.5]), np.array([0, 10, 5]))
    assert (low[0], high[0]) == (0, 1)
    assert (low[1], high[1]) == tuple(map(float, wilson(7, 10)))
    assert (low[2], high[2]) == pytest.approx(tuple(map(float, wilson(3.5, 5))))


def test_the_variance_of_a_count_gives_the_interval_of_the_count() -> None:
    p, n = 0.7, 50
    low, high = wilson(35, 50)
    assert wilson_of_variance(p, p * (1 - p) / n, p) == pytest.approx((float(low), float(high)))
    twice = wilson_of_variance(p, 2 * p * (1 - p) / n, p)
    assert twice == pytest.approx(tuple(map(float, wilson(17.5, 25))))
