import shutil

import numpy as np
import pytest

import cache.storage.shard
from cache.commands.verify import verify
from cache.storage.intact import is_intact
from cache.storage.shard import Shard, seal


def test_all_is_well(store, sample):
    keys, rows = sample(10)
    store.add(keys, rows)
    assert verify(store) == []
    assert store.contains(keys).all()


@pytest.mark.parametrize("where", ["row", "last"])
def test_a_flipped_bit_is_noticed_set_aside_and_kept(store, sample, where):
    keys, rows = sample(20)
    broken = store.add(keys[:10], rows[:10])
    store.add(keys[10:], rows[10:])
    data = bytearray(broken.read_bytes())
    data[Shard(broken, store.space.id)._rows_at if where == "row" else -1] ^= 4
    broken.chmod(0o644)
    broken.write_bytes(data)
    assert len(store) == 20  # nothing shows in a listing
    with pytest.warns(UserWarning, match="Damaged shard"):
        damaged = verify(store)
    assert damaged == [store.folder / "damaged" / broken.name]
    assert damaged[0].read_bytes() == data
    assert store.contains(keys).tolist() == [False] * 10 + [True] * 10
    assert verify(store) == []


def test_an_intact_shard_of_another_space_is_set_aside(store, sample, tmp_path):
    stray = seal(tmp_path, "cd" * 32, *sample(3))
    shutil.copy(stray, store.shard_folder)
    with pytest.warns(UserWarning, match="expected space"):
        assert [path.name for path in verify(store)] == [stray.name]


def test_a_name_without_a_hash_is_noticed(store, sample):
    path = store.add(*sample(3))
    path.rename(path.with_name("renamed.h5"))
    with pytest.warns(UserWarning, match=r"Damaged shard renamed\.h5"):
        assert len(verify(store)) == 1


def unsorted(keys, rows):
    return keys[::-1], rows


def repeated(keys, rows):
    return np.repeat(keys[:1], len(keys), axis=0), rows


def not_a_number(keys, rows):
    rows[2, 1] = np.nan
    return keys, rows


def infinite(keys, rows):
    rows[2, 1] = np.inf
    return keys, rows


def halves(keys, rows):
    return keys, rows.astype(np.float16)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (unsorted, "keys are not in ascending order"),
        (repeated, "or repeat"),
        (not_a_number, "NaN or infinity in 1 of the rows 0 to 4"),
        (infinite, "NaN or infinity in 1 of the rows 0 to 4"),
        (halves, "expected rows of float32, received float16"),
    ],
)
def test_a_shard_with_a_good_hash_that_nobody_can_use_is_noticed(store, sample, monkeypatch, made, told):
    keys, rows = sample(5)
    keys = keys[np.lexsort(keys.T[::-1])]
    monkeypatch.setattr(  # a program that does not sort
        cache.storage.shard, "unique", lambda items: (items, np.arange(len(items)), np.arange(len(items)))
    )
    path = seal(store.shard_folder, store.space.id, *made(keys, rows))
    monkeypatch.undo()
    assert is_intact(path)
    with pytest.warns(UserWarning, match=f"Damaged shard {path.name}.*{told}"):
        assert verify(store) == [store.folder / "damaged" / path.name]
    assert not store.contains(keys).any()
