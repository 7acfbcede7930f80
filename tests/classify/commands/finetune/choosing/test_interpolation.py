"""Between the head and the trained weights the validating pictures choose, and they must be asked enough."""

from functools import cache

import keras
import numpy as np
import pytest
from keras import layers

from classify.commands.finetune.choosing.interpolation import ALPHAS, Point, between, choose, walk
from classify.heads.calibration import fit_temperature
from classify.training.batches import TrainingRows
from classify.training.loop import read_weights
from classify.training.validation import Judgement

N = 50
NOISE = np.random.default_rng(0).normal(size=N)
NOISE = (NOISE - NOISE.mean()) / NOISE.std(ddof=1)


def point(alpha: float, accuracy: float, loss: float, spread: float = 0.0) -> Point:
    """What some weights came to: own losses around `loss`, with that standard deviation."""
    own = loss + spread * NOISE
    return Point(alpha, np.zeros((N, 2)), Judgement(accuracy, loss, float(own.mean()), own))


HEAD = point(0.0, 0.9, 0.5)


def test_the_lowest_calibrated_loss_is_chosen() -> None:
    line = [HEAD, point(0.2, 0.9, 0.4), point(0.4, 0.9, 0.3), point(1.0, 0.98, 0.35)]
    assert choose(line) is line[2]


def test_accuracy_must_not_fall() -> None:
    line = [HEAD, point(0.5, 0.9, 0.4), point(1.0, 0.89, 0.1)]
    assert choose(line) is line[1]
    assert choose([HEAD, line[2]]) is HEAD


def test_a_gain_below_one_standard_error_is_none() -> None:
    error = 0.5 / np.sqrt(N)
    for gain, alpha in ((0.98 * error, 0.0), (1.02 * error, 1.0)):
        assert choose([HEAD, point(1.0, 0.95, 0.5 - gain, spread=0.5)]).alpha == alpha


def test_the_best_point_alone_is_asked_for_its_standard_error() -> None:
    """A second-best point with less noise is not taken instead: that would be one more chance to be lucky."""
    line = [HEAD, point(0.5, 0.9, 0.45), point(1.0, 0.9, 0.44, spread=5.0)]
    assert choose(line) is HEAD


def test_with_slack_the_nearest_that_cannot_be_told_from_the_best_is_taken() -> None:
    error = 0.5 / np.sqrt(N)
    best = point(0.6, 0.95, 0.3)
    for above, alpha in ((0.9 * error, 0.2), (1.1 * error, 0.6)):
        line = [HEAD, point(0.1, 0.89, 0.3), point(0.2, 0.9, 0.3 + above, spread=0.5), best]
        assert choose(line, slack=1.0).alpha == alpha
        assert choose(line) is best
    # It is asked for its own standard error.
    assert choose([HEAD, point(0.2, 0.9, 0.5 - 0.9 * error, spread=0.5), best], slack=9.0) is HEAD


def test_of_equals_the_one_nearer_to_the_head_is_taken() -> None:
    line = [HEAD, point(0.3, 0.9, 0.4), point(0.6, 0.95, 0.4)]
    assert choose(line) is line[1]
    assert choose([HEAD, *reversed(line[1:])]) is line[1]
    assert choose([HEAD, point(1.0, 0.9, 0.5)]) is HEAD


def test_no_point_is_below_the_floor() -> None:
    line = [HEAD, point(0.5, 0.92, 0.2), point(1.0, 0.96, 0.4)]
    assert choose(line, floor=0.85) is line[1]
    assert choose(line, floor=0.94) is line[2]
    assert choose(line, floor=0.97) is HEAD


def test_a_head_alone_is_chosen() -> None:
    assert choose([HEAD]) is HEAD


def test_between_is_exact_at_its_ends() -> None:
    random = np.random.default_rng(0)
    head, trained = (
        [random.normal(size=(3, 4)).astype(np.float32) * 1e6, np.float32([1e-7])] for _ in range(2)
    )
    for alpha, end in ((0.0, head), (1.0, trained)):
        found = between(head, trained, alpha)
        assert all(np.array_equal(a, b) for a, b in zip(found, end, strict=True))
    for a, b, found in zip(head, trained, between(head, trained, 0.3), strict=True):
        np.testing.assert_allclose(found, 0.7 * a + 0.3 * b, rtol=1e-5)
    spoilt = [np.float32([[np.nan, np.inf]])]  # what training came to takes nothing from the head
    assert np.array_equal(between([np.float32([[1, 2]])], spoilt, 0.0)[0], [[1, 2]])
    assert ALPHAS[0] == 0 and ALPHAS[-1] == 1 and list(ALPHAS) == sorted(ALPHAS)


# ---- on a network


class Fixed:
    def __init__(self, x: np.ndarray) -> None:
        self._x = x

    def take(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        assert not views.any()
        return self._x[rows]


@cache
def model() -> keras.Model:
    maps = keras.Input((1, 1, 4))
    return keras.Model(maps, layers.Dense(3)(layers.Flatten()(maps)))


def test_walk_evaluates_the_weights_between() -> None:
    random = np.random.default_rng(0)
    x, codes = random.normal(size=(20, 1, 1, 4)).astype(np.float32), np.arange(20) % 3
    codes[4] = -1
    rows = random.permutation(20)[:13]
    val = TrainingRows(Fixed(x), rows, codes[rows], 3)
    head, trained = ([random.normal(size=shape).astype(np.float32) for shape in ((4, 3), (3,))] for _ in "ab")
    line = walk(model(), head, trained, val, batch_size=5, alphas=(0.0, 0.25, 1.0))
    assert [one.alpha for one in line] == [0.0, 0.25, 1.0]
    for one in line:
        kernel, bias = ((1 - one.alpha) * a + one.alpha * b for a, b in zip(head, trained, strict=True))
        np.testing.assert_allclose(one.logits, x[rows, 0, 0] @ kernel + bias, atol=1e-5)
        assert one.judgement.accuracy == (one.logits.argmax(axis=1) == codes[rows]).mean()
        summary = one.summary()
        assert (summary.alpha, summary.val_accuracy) == (one.alpha, one.judgement.accuracy)
        assert (summary.val_loss, summary.calibrated_loss) == (
            one.judgement.loss,
            one.judgement.calibrated_loss,
        )
    assert len({one.judgement.calibrated_loss for one in line}) == 3
    assert all(np.array_equal(a, b) for a, b in zip(read_weights(model()), trained, strict=True))


def test_what_is_known_of_the_way_is_not_asked_again() -> None:
    ends = {0.0: np.eye(3)[[0, 1, 1]], 1.0: np.eye(3)}
    weights = read_weights(model())
    nothing = TrainingRows(Fixed(np.empty((0, 1, 1, 4))), np.arange(3), np.arange(3), 3)  # an asking fails
    line = walk(model(), weights, weights, nothing, 5, (0.0, 1.0), ends)
    assert [one.judgement.accuracy for one in line] == [2 / 3, 1]
    with pytest.raises(IndexError):
        walk(model(), weights, weights, nothing, 5, (0.0, 1.0), {0.0: None, 1.0: ends[1.0]})


def test_the_temperature_is_that_of_known_classes() -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 3, 40)
    logits = random.normal(size=(40, 3)) + 2 * np.eye(3)[codes]
    expected = fit_temperature(logits, codes)
    strange = np.vstack([logits, 100 * random.normal(size=(9, 3))])
    found = Point.of(0.5, strange * 4, np.r_[codes, np.full(9, -1)])
    assert found.temperature(np.r_[codes, np.full(9, -1)]) == pytest.approx(4 * expected, rel=1e-3)
