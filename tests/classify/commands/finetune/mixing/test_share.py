"""The run's own head has a share of the answer where both are better together than either, and not by luck."""

import numpy as np
import pytest

from classify.commands.finetune.mixing.share import SHARES, choose_share

V = 200
CODES = np.arange(V) % 4


def sure_of(right: np.ndarray, sure: float = 0.8) -> np.ndarray:
    """Probabilities (V, 4): `sure` of the right class where `right`, else of the next one."""
    said = np.where(right, CODES, (CODES + 1) % 4)
    return (1 - sure) / 3 + (sure - (1 - sure) / 3) * np.eye(4)[said]


def doubtful(right: np.ndarray) -> np.ndarray:
    """Sure where it is right, and hardly wrong where it is wrong."""
    return np.where(right[:, None], sure_of(right, 0.9), sure_of(right, 0.4))


def test_two_that_know_different_pictures_answer_together() -> None:
    half = CODES < 2
    found = choose_share(doubtful(half), doubtful(~half), CODES)
    assert found is not None and found.share == 0.5 and found.together.accuracy == 1.0
    np.testing.assert_allclose(found.probability, (doubtful(half) + doubtful(~half)) / 2)
    expected = -np.log(found.probability[np.arange(V), CODES]).mean()
    assert found.together.loss == pytest.approx(expected) and found.tuned.accuracy == 0.5
    assert "50% the run's own head" in found.describe() and "both 100.0%" in found.describe()


def test_one_that_is_better_alone_answers_alone() -> None:
    right = np.arange(V) % 10 > 0
    better = np.where(right[:, None], sure_of(right, 0.95), sure_of(right, 0.4))
    worse = sure_of(np.arange(V) % 10 > 4, 0.97)
    assert choose_share(better, worse, CODES) is None
    assert choose_share(worse, better, CODES) is None
    assert choose_share(better, better, CODES) is None


def test_a_gain_by_luck_is_none() -> None:
    """Both answer at random: of so many shares one nearly always has a loss below that of each alone."""
    lower = 0
    for seed in range(10):
        random = np.random.default_rng(seed)
        own, tuned = (random.dirichlet(np.full(4, 30.0), V) for _ in range(2))
        loss = [-np.log((s * own + (1 - s) * tuned)[np.arange(V), CODES]).mean() for s in (0, *SHARES, 1)]
        lower += min(loss[1:-1]) < min(loss[0], loss[-1])
        assert choose_share(own, tuned, CODES, errors=2.0) is None
    assert lower > 5


def test_fewer_right_answers_are_no_gain() -> None:
    """The loss falls, and a picture that one knew is lost."""
    right = np.arange(V) != 0
    own = sure_of(right, 0.9)
    own[0] = [0.46, 0.54, 0, 0]
    tuned = sure_of(np.ones(V, bool), 0.26)
    tuned[1:] = sure_of(right, 0.99)[1:]
    tuned[5] = sure_of(np.zeros(V, bool), 0.99)[5]
    found = choose_share(own, tuned, CODES)
    assert found is None or found.together.accuracy >= max(found.own.accuracy, found.tuned.accuracy)


def test_pictures_of_unknown_classes_count_as_errors_and_not_in_the_loss() -> None:
    half, codes = CODES < 2, np.where(np.arange(V) < 20, -1, CODES)
    found = choose_share(doubtful(half), doubtful(~half), codes)
    assert found is not None and found.together.accuracy == 0.9 and len(found.together.own) == V - 20
