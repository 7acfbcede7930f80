"""An epoch follows from its number and the seed: every row once, another view each time."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from classify.training import batches
from classify.training.batches import Batch, TrainingRows

N, CLASSES = 23, 3
ROWS = np.random.default_rng(0).permutation(100)[:N]
CODES = np.arange(N) % CLASSES


class Numbered:
    """Activations (1, 1, 2) that say which row and which view they are; counts the readings."""

    def __init__(self, fails_at: int = -1) -> None:
        self.readings, self._fails_at = 0, fails_at

    def take(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        if self.readings == self._fails_at:
            raise OSError("the disk is gone")
        self.readings += 1
        return np.stack([rows, views], axis=1)[:, None, None].astype(np.float32)


def samples(**options: object) -> TrainingRows:
    return TrainingRows(Numbered(), ROWS, CODES, CLASSES, **options)  # type: ignore[arg-type]


def seen(epoch: Iterator[Batch]) -> np.ndarray:
    """(n, 2): row and view, in order."""
    return np.concatenate([batch.x[:, 0, 0] for batch in epoch]).astype(int)


def test_an_epoch_has_every_row_once_in_batches_of_nearly_one_size() -> None:
    for size in (1, 4, 8, 22, 23, 64):
        found = list(samples().epoch(1, size, 0))
        sizes = [len(batch.x) for batch in found]
        assert max(sizes) - min(sizes) <= 1 and max(sizes) <= size and len(sizes) == -(-N // size)
        assert sorted(seen(iter(found))[:, 0]) == sorted(ROWS)


def test_targets_and_weights_follow_their_rows() -> None:
    weight = np.arange(N) / 7
    for batch in samples(weight=weight).epoch(3, 8, 0):
        place = [ROWS.tolist().index(row) for row in batch.x[:, 0, 0, 0]]
        assert np.array_equal(batch.y, np.eye(CLASSES)[CODES[place]]) and batch.y.dtype == np.float32
        assert np.array_equal(batch.weight, weight[place].astype(np.float32))
    assert all((batch.weight == 1).all() for batch in samples().epoch(0, 8, 0))


def test_a_row_is_seen_in_every_view_once_in_views_plus_one_epochs() -> None:
    data = samples(views=3)
    for first in (0, 5):
        pairs = np.concatenate([seen(data.epoch(number, 8, 0)) for number in range(first, first + 4)])
        assert {tuple(pair) for pair in pairs} == {(row, view) for row in ROWS for view in range(4)}
    assert len(np.unique(seen(data.epoch(0, 8, 0))[:, 1])) == 4  # and an epoch has all of them


def test_the_order_is_another_in_each_epoch_and_the_same_in_a_second_run() -> None:
    data = samples(views=2)
    orders = {seed: [seen(data.epoch(number, 8, seed)) for number in range(4)] for seed in (0, 1)}
    flat = [tuple(order[:, 0]) for each in orders.values() for order in each]
    assert len(set(flat)) == 8
    for seed, each in orders.items():
        for number in (3, 0):  # whichever was asked for before
            assert np.array_equal(seen(samples(views=2).epoch(number, 8, seed)), each[number])


def test_filling_a_batch_changes_no_mean() -> None:
    weight = np.linspace(0.5, 1.5, N)
    batch = list(samples(weight=weight).epoch(0, 8, 0))[-1]
    filled, n = batch.filled(9), len(batch.x)
    assert batch.filled(n) is batch and n < 8
    assert np.array_equal(filled.x[:n], batch.x) and np.array_equal(filled.y[:n], batch.y)
    assert not filled.weight[n:].any() and filled.weight.dtype == np.float32
    own = np.arange(9) ** 2.0
    assert np.mean(own * filled.weight) == pytest.approx(np.mean(own[:n] * batch.weight))


def test_plain_is_all_rows_in_order_without_views() -> None:
    assert np.array_equal(seen(samples(views=3).plain(8)), np.stack([ROWS, np.zeros(N, int)], axis=1))


def test_an_unknown_class_has_no_target() -> None:
    data = TrainingRows(Numbered(), ROWS[:3], np.array([2, -1, 0]), CLASSES)
    (batch,) = data.plain(8)
    assert batch.y.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_mixup_mixes_rows_targets_and_weights_alike() -> None:
    weight = np.linspace(0.5, 1.5, N)
    data, mixed = samples(weight=weight), 0
    for plain, batch in zip(data.epoch(2, 8, 0), data.epoch(2, 8, 0, mixup=0.4), strict=True):
        # With the share and partners that explain the rows, targets and weights must come out too.
        x, y, w = plain.x[:, 0, 0, 0], plain.y, plain.weight
        for at, found in enumerate(batch.x[:, 0, 0, 0]):
            others = [i for i in range(len(x)) if x[i] != x[at]]
            shares = {i: (found - x[i]) / (x[at] - x[i]) for i in others} | {at: 1.0}
            assert any(
                -1e-6 <= share <= 1 + 1e-6
                and np.allclose(batch.y[at], share * y[at] + (1 - share) * y[i], atol=1e-4)
                and np.allclose(batch.weight[at], share * w[at] + (1 - share) * w[i], atol=1e-4)
                for i, share in shares.items()
            )
            mixed += found not in x
        np.testing.assert_allclose(batch.y.sum(axis=1), 1, atol=1e-6)
    assert mixed > N / 2
    again = list(data.epoch(2, 8, 0, mixup=0.4))
    assert np.array_equal(again[-1].x, batch.x)


def test_mixup_of_pixels_does_not_wrap_around() -> None:
    class Pixels:
        def take(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
            return np.where(rows % 2, 250, 10)[:, None, None, None].astype(np.uint8)

    data = TrainingRows(Pixels(), ROWS, CODES, CLASSES)
    values = np.concatenate([batch.x.ravel() for batch in data.epoch(0, 23, 0, mixup=5.0)])
    assert ((values >= 9.99) & (values <= 250.01)).all() and len(np.unique(values)) > 2


@pytest.mark.parametrize("at", [0, 2])
def test_errors_of_the_reading_thread_come_out(at: int) -> None:
    data = TrainingRows(Numbered(fails_at=at), ROWS, CODES, CLASSES)
    got = []
    with pytest.raises(OSError, match="the disk is gone"):
        for batch in data.epoch(0, 4, 0):
            got.append(batch)
    assert len(got) == at


def test_an_abandoned_epoch_ends_its_thread_and_reads_little_more() -> None:
    data, before = samples(), threading.active_count()
    epoch = data.epoch(0, 1, 0)
    next(epoch)
    epoch.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert data.activations.readings <= 1 + batches.READ_AHEAD  # type: ignore[attr-defined]


def test_reading_is_ahead_of_training_by_a_few_batches() -> None:
    """While a batch is trained on, the next ones are read; never the whole epoch."""
    data = samples()
    for step, _ in enumerate(data.epoch(0, 1, 0)):
        assert data.activations.readings <= step + 1 + batches.READ_AHEAD  # type: ignore[attr-defined]
