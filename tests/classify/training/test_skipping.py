"""Of easy pictures some are skipped at random, and gradients are on average those of all."""

import numpy as np
import pytest

from cache.errors import UserError
from classify.training.settings import Settings
from classify.training.skipping import Skipping

N = 40
LOSSES = np.random.default_rng(0).exponential(size=N)
HARD = np.argsort(LOSSES)[30:]


def plan(**options: object) -> Skipping:
    return Skipping.of(N, Settings(**{"epochs": 10, "skip_easy": 0.375} | options))  # type: ignore[arg-type]


def shares(number: int, seed: int = 0, **options: object) -> np.ndarray:
    found = plan(**options).shares(number, LOSSES, seed)
    assert found is not None
    return found


def test_half_of_three_quarters_are_skipped_and_none_that_is_hard() -> None:
    for number in range(2, 9):
        found = shares(number)
        assert (found == 0).sum() == 15 and (found[HARD] > 0).all()
        kept = found[found > 0]
        assert kept.mean() == pytest.approx(1) and kept.max() == pytest.approx(2 * kept.min())
    assert (shares(2, skip_easy=0.7) > 0).sum() == 12  # the ten hard ones, and two


def test_the_mean_of_a_batch_is_on_average_that_of_all_pictures() -> None:
    of_each = np.random.default_rng(1).normal(size=N)  # a gradient, say
    means = [(found * of_each).sum() / 25 for found in (shares(2, seed) for seed in range(4000))]
    error = np.std(means) / np.sqrt(len(means))
    assert np.mean(means) == pytest.approx(of_each.mean(), abs=4 * error)
    unweighed = [of_each[found > 0].mean() for found in (shares(2, seed) for seed in range(4000))]
    assert abs(np.mean(unweighed) - of_each.mean()) > 4 * error  # which weights are for


def test_another_epoch_or_seed_skips_others_and_the_same_ones_the_same() -> None:
    drawn = {(number, seed): tuple(shares(number, seed)) for number in (2, 3) for seed in (0, 1)}
    assert len(set(drawn.values())) == 4
    assert drawn[2, 0] == tuple(shares(2, 0))


@pytest.mark.parametrize(
    ("epochs", "whole"), [(20, {1, 19, 20}), (10, {1, 10}), (8, {1, 8}), (3, {1, 3}), (2, {1, 2}), (1, {1})]
)
def test_the_first_and_the_last_epochs_skip_none(epochs: int, whole: set[int]) -> None:
    skipping = plan(epochs=epochs)
    numbers = range(1, epochs + 1)
    assert {number for number in numbers if skipping.pictures(number) == N} == whole
    assert {number for number in numbers if skipping.shares(number, LOSSES, 0) is None} == whole
    assert skipping.after(0, epochs) == N * epochs - 15 * (epochs - len(whole))
    assert skipping.after(epochs - 1, epochs) == N and skipping.after(epochs, epochs) == 0
    assert bool(skipping.skipped) == (len(whole) < epochs)


@pytest.mark.parametrize("n", range(1, 30))
def test_of_few_pictures_one_that_is_easy_is_left(n: int) -> None:
    skipping = Skipping.of(n, Settings(skip_easy=0.7))
    found = skipping.shares(2, np.arange(n), 0) if skipping.skipped > 0 else None
    assert found is None or (np.isfinite(found).all() and 0 < (found == 0).sum() < n)
    assert 0 <= n - skipping.pictures(2) < n


def test_none_is_skipped_while_a_loss_is_unknown() -> None:
    assert plan().shares(2, np.where(np.arange(N) == 3, np.nan, LOSSES), 0) is None


def test_it_says_which_epochs_skip() -> None:
    assert str(plan()) == "epochs 2 to 9 skip 15 of 40 pictures, at random among those with a low loss"
    assert str(plan(epochs=3)).startswith("epoch 2 skips 15 of 40")


@pytest.mark.parametrize("share", [-0.1, 0.71])
def test_shares_out_of_range_are_refused(share: float) -> None:
    with pytest.raises(UserError, match=r"--skip-easy from 0 to 0\.7"):
        Settings(skip_easy=share)


def test_mixtures_are_not_skipped() -> None:
    with pytest.raises(UserError, match=r"--skip-easy 0 with --mixup 0\.2, received 0\.3"):
        Settings(skip_easy=0.3, mixup=0.2)
    Settings(skip_easy=0.0, mixup=0.2)
