import os
from dataclasses import replace

import numpy as np
import pytest

from cache.commands.gc import collect
from cache.errors import UserError
from cache.storage.rows import Rows
from cache.storage.shard import Shard
from cache.storage.store import Store


def fill(store, sample, sizes):
    keys, rows = sample(sum(sizes))
    for end, size in zip(np.cumsum(sizes), sizes, strict=True):
        store.add(keys[end - size : end], rows[end - size : end])
    return keys, rows


def test_rows_come_in_the_order_asked(store, sample):
    keys, rows = fill(store, sample, [7, 20, 3])
    mine = np.random.default_rng(1).permutation(30)[
        :25
    ]  # the positions are among these keys, not the store's
    found = Rows(store, keys[mine])
    for asked in ([0], [24, 0, 13, 0], np.arange(25)[::-1]):
        assert np.array_equal(found.take(np.array(asked)), rows[mine][asked])


def test_rows_of_any_shape_are_widened(store, sample, space):
    half = replace(space, dtype="float16")
    other = Store(store.folder.parent / half.id, half).create()
    keys, rows = sample(12, width=8)
    other.add(keys, rows.reshape(12, 2, 2, 2))
    found = Rows(other, keys).take(np.array([5, 2]))
    assert found.dtype == np.float32
    assert np.array_equal(found, rows.astype(np.float16).astype(np.float32)[[5, 2]].reshape(2, 2, 2, 2))


def test_shards_that_are_merged_meanwhile_are_found_again(store, sample):
    keys, rows = fill(store, sample, [4, 5, 6])
    found = Rows(store, keys)
    assert np.array_equal(found.take(np.array([14, 1])), rows[[14, 1]])
    assert collect(store).merged == 3
    assert np.array_equal(found.take(np.arange(15)), rows)
    assert np.array_equal(found.take(np.array([3])), rows[[3]])


def test_rows_are_located_once(store, sample, monkeypatch):
    keys, rows = fill(store, sample, [4, 5])
    found = Rows(store, keys)

    def listed(self):
        raise AssertionError("looked again")

    monkeypatch.setattr(type(store), "paths", listed)
    assert np.array_equal(found.take(np.array([8, 0])), rows[[8, 0]])


def test_keys_without_a_row_are_counted(store, sample):
    keys, _ = fill(store, sample, [6])
    absent, _ = sample(2, seed=1)
    with pytest.raises(UserError, match=r"each of 8 pictures .* 2 have none.*again"):
        Rows(store, np.concatenate([keys, absent]))


def test_rows_that_are_lost_meanwhile_are_reported(store, sample):
    keys, _ = fill(store, sample, [6, 6])
    found = Rows(store, keys)
    for path in store.paths():
        path.unlink()
    with pytest.raises(UserError, match="12 have none"):
        found.take(np.array([11]))


def test_rows_that_are_cut_off_meanwhile_are_reported(store, sample):
    keys, _ = fill(store, sample, [6, 6])
    found = Rows(store, keys)
    newest = store.paths()[0]
    os.truncate(newest, Shard(newest, store.space.id)._rows_at + 99)
    with (
        pytest.warns(UserWarning, match="cut short after it had been opened"),
        pytest.raises(UserError, match="6 have none"),
    ):
        found.take(np.array([11]))
