import os
import time

import numpy as np
import pytest

import cache.commands.gc
from cache.commands.gc import collect
from cache.commands.verify import verify
from cache.errors import UserError
from cache.storage.shard import Shard, seal


def fill(store, sample, sizes):
    keys, rows = sample(sum(sizes))
    start = 0
    for size in sizes:
        store.add(keys[start : start + size], rows[start : start + size])
        start += size
    return keys, rows


def sizes(store):
    return [len(shard) for shard in store.shards()]


def test_merges_neighbours_up_to_the_limit_and_settles(store, sample):
    keys, rows = fill(store, sample, [10, 20, 30, 50, 5, 60, 1, 1])
    result = collect(store, max_rows=60)
    assert sizes(store) == [2, 60, 55, 60]
    assert (result.merged, result.sealed, result.damaged) == (7, 3, ())
    assert np.array_equal(store.gather(keys), rows)
    assert verify(store) == []
    again = collect(store, max_rows=60)
    assert (again.merged, again.sealed) == (0, 0)


def test_a_crash_between_sealing_and_removing_is_harmless_and_tidied(store, sample, monkeypatch):
    keys, rows = fill(store, sample, [20, 20, 15])

    def dies(self, shard):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "remove", dies)
        with pytest.raises(KeyboardInterrupt):
            collect(store, max_rows=60)
    assert sorted(sizes(store)) == [15, 20, 20, 55]
    assert np.array_equal(store.gather(keys), rows)
    collect(store, max_rows=60)
    assert sizes(store) == [55]
    assert np.array_equal(store.gather(keys), rows)


def test_repeated_keys_are_dropped(store, sample):
    keys, rows = sample(40)
    for shift in range(4):
        store.add(keys, rows + shift)
    collect(store, max_rows=50)
    assert sizes(store) == [40]
    assert np.array_equal(store.gather(keys), rows + 3)


def test_damage_is_not_merged_into_a_shard_with_a_good_hash(store, sample):
    keys, rows = fill(store, sample, [10, 10, 10])
    broken = store.paths()[1]
    data = bytearray(broken.read_bytes())
    data[Shard(broken, store.space.id)._rows_at] ^= 4
    broken.chmod(0o644)
    broken.write_bytes(data)
    with pytest.warns(UserWarning, match="Damaged shard"):
        result = collect(store)
    assert result.damaged == (store.folder / "damaged" / broken.name,)
    assert sizes(store) == [20]
    good = np.r_[0:10, 20:30]
    assert store.contains(keys).tolist() == [i in good for i in range(30)]
    assert np.array_equal(store.gather(keys[good]), rows[good])


def test_heavy_rows_count_by_weight(store, sample, monkeypatch):
    fill(store, sample, [10, 10, 10])
    monkeypatch.setattr(cache.commands.gc, "SHARD_BYTES", 25 * 5 * 4)
    collect(store)
    assert sizes(store) == [20, 10]


def test_only_old_temporary_files_are_removed(store, sample):
    fill(store, sample, [3])
    old, new = store.shard_folder / ".tmp-old", store.shard_folder / ".tmp-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    assert len(store.paths()) == 1
    assert collect(store).temporary == 1
    assert (old.exists(), new.exists()) == (False, True)


def test_a_shard_that_cannot_be_removed_is_reported(store, sample, tmp_path):
    fill(store, sample, [3])
    (shard,) = store.shards()
    shard.path = tmp_path  # a folder cannot be unlinked
    with pytest.raises(UserError, match="Could not"):
        store.remove(shard)


def test_rows_that_are_not_finite_are_not_merged_with_good_ones(store, sample):
    keys, rows = fill(store, sample, [10, 10])
    bad = rows[:1].copy()
    bad[0, 0] = np.nan
    seal(store.shard_folder, store.space.id, keys[:1], bad)
    with pytest.warns(UserWarning, match="NaN or infinity in 1 of"):
        assert len(collect(store).damaged) == 1
    assert np.array_equal(store.gather(keys), rows)
