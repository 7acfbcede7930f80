import os
import shutil
import warnings
from datetime import datetime

import h5py
import numpy as np
import pytest

import cache.storage.intact
import cache.storage.shard
import cache.storage.store
from cache.commands.gc import collect
from cache.commands.verify import verify
from cache.errors import UserError
from cache.space import Space
from cache.storage.shard import Shard
from cache.storage.store import Store


def test_gathers_in_the_order_asked_across_shards(store, sample):
    keys, rows = sample(300)
    for part in np.split(np.arange(300), [1, 50, 120]):
        store.add(keys[part], rows[part])
    asked = np.random.default_rng(1).integers(0, 300, 1000)  # any order, with repeats
    gathered = store.gather(keys[asked])
    assert gathered.dtype == np.float32
    assert np.array_equal(gathered, rows[asked])
    assert len(store) == 300


def test_stream_is_gather_in_blocks(store, sample):
    keys, rows = sample(50)
    store.add(keys[:20], rows[:20])
    store.add(keys[20:], rows[20:])
    blocks = list(store.stream(keys[::-1], 16))
    assert [len(block) for block in blocks] == [16, 16, 16, 2]
    assert np.array_equal(np.concatenate(blocks), rows[::-1])


def test_more_rows_than_one_copied_block(store, sample):
    keys, rows = sample(9_000)
    store.add(keys, rows)
    assert np.array_equal(store.gather(keys), rows)


def test_contains(store, sample):
    keys, rows = sample(40)
    assert not store.contains(keys).any()
    store.add(keys[:10], rows[:10])
    store.add(keys[20:30], rows[20:30])
    asked = np.concatenate([keys, keys[:3], np.zeros((1, 32), np.uint8)])
    assert np.flatnonzero(store.contains(asked)).tolist() == [*range(10), *range(20, 30), 40, 41, 42]
    assert store.contains(keys[:0]).shape == (0,)


def test_keys_alike_in_their_first_8_bytes_stay_apart(store, sample):
    keys, rows = sample(40)
    keys[:, :8] = 0xAB
    store.add(keys[:30], rows[:30])
    assert store.contains(keys).tolist() == [True] * 30 + [False] * 10
    assert np.array_equal(store.gather(keys[:30]), rows[:30])


def test_gather_of_nothing_still_knows_the_width(store, sample):
    keys, rows = sample(4)
    assert store.gather(keys[:0]).shape == (0, 0)
    store.add(keys, rows)
    assert store.gather(keys[:0]).shape == (0, 5)


def test_missing_rows_are_counted_and_the_command_named(store, sample):
    keys, rows = sample(10)
    store.add(keys[:7], rows[:7])
    with pytest.raises(UserError, match=r"each of 10 pictures, 3 have none.*cli.py extract"):
        store.gather(keys)


def test_the_newest_row_counts_before_and_after_merging(store, sample):
    keys, rows = sample(20)
    store.add(keys, rows + 2)
    store.add(keys, rows + 1)
    store.add(keys[:10], rows[:10])
    expected = np.concatenate([rows[:10], rows[10:] + 1])
    assert np.array_equal(store.gather(keys), expected)
    assert len(store) == 50
    collect(store)
    assert np.array_equal(store.gather(keys), expected)


def test_float16_storage_is_widened(tmp_path, sample):
    half = Space("tiny", "0" * 64, "avg", 8, "crop", "none", "fake", dtype="float16")
    store = Store(tmp_path / half.id, half).create()
    keys, rows = sample(10, width=2 * 3)
    store.add(keys, rows.reshape(10, 2, 3))
    gathered = store.gather(keys)
    assert (gathered.dtype, gathered.shape) == (np.float32, (10, 2, 3))
    assert np.array_equal(gathered, rows.reshape(10, 2, 3).astype(np.float16).astype(np.float32))
    with pytest.raises(UserError, match=r"infinity in 1 of 10 rows stored as float16"):
        store.add(keys, np.where(np.arange(60).reshape(10, 2, 3) == 9, 1e6, 0))


def test_only_finite_rows_of_the_same_shape_get_in(store, sample):
    keys, rows = sample(4)
    bad = rows.copy()
    bad[2, 1] = np.nan
    with pytest.raises(UserError, match="NaN or infinity in 1 of 4"):
        store.add(keys, bad)
    store.add(keys, rows)
    with pytest.raises(UserError, match=r"shape \(5,\).*received \(4,\)"):
        Store.open(store.folder).add(keys, rows[:, :4])
    assert len(store) == 4


@pytest.fixture
def opened(monkeypatch):
    """Paths of the shards that are opened, as they are."""
    found = []
    for module in (cache.storage.shard, cache.storage.intact):
        real = module.open_raw
        monkeypatch.setattr(module, "open_raw", lambda path, real=real: found.append(path) or real(path))
    return found


def test_headers_and_keys_are_read_once(store, sample, opened):
    keys, rows = sample(10)
    store.add(keys[:5], rows[:5])
    store.add(keys[5:], rows[5:])
    store = Store.open(store.folder)
    assert store.contains(keys).all()
    opened.clear()
    assert store.contains(keys).all()
    assert opened == []
    store.gather(keys)
    assert sorted(opened) == sorted(store.paths())


def test_a_found_key_ends_the_search(store, sample, opened):
    keys, rows = sample(10)
    store.add(keys[:5], rows[:5])
    newest = store.add(keys[5:], rows[5:])
    opened.clear()
    Store.open(store.folder).contains(keys[5:7])
    assert set(opened) == {newest}


def test_more_shards_than_open_files(store, sample, child):
    pytest.importorskip("resource", reason="POSIX only")
    keys, rows = sample(330)
    for row in range(330):
        store.add(keys[row : row + 1], rows[row : row + 1])
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from cache.storage.store import Store
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
store = Store.open(Path(sys.argv[1]))
keys = np.random.default_rng(0).integers(0, 256, (330, 32), dtype=np.uint8)
print(store.contains(keys).sum(), len(store.gather(keys)))
"""
    out, err = child(code, store.folder).communicate()
    assert out.split() == ["330", "330"], err


def test_what_is_sealed_last_counts_although_the_clock_went_back(store, sample, monkeypatch):
    keys, rows = sample(10)
    clock = iter(["2026", "2020", "2026", "2019"])

    class Clock(datetime):
        @classmethod
        def now(cls, zone):
            return cls(int(next(clock)), 3, 4, 5, 6, 7, 8, zone)

    monkeypatch.setattr(cache.storage.shard, "datetime", Clock)
    for number in range(4):
        store = Store.open(store.folder)
        store.add(keys, rows + number)
        assert np.array_equal(store.gather(keys), rows + number)
    stamps = [path.name.split("-")[0] for path in store.paths()]
    assert stamps == [f"20260304T0506070000{n:02}" for n in (11, 10, 9, 8)]


def test_a_name_without_a_time_is_followed_too(store, sample):
    keys, rows = sample(10)
    cache.storage.shard.seal(store.shard_folder, store.space.id, keys, rows, stamp="zz")
    store.add(keys, rows + 1)
    assert np.array_equal(store.gather(keys), rows + 1)


# ---- damage


def damage_flip_format(path):
    path.chmod(0o644)
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = 99


def damage_cut(path):
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])


def damage_empty(path):
    path.chmod(0o644)
    path.write_bytes(b"")


def damage_text(path):
    path.chmod(0o644)
    path.write_bytes(b"not HDF5 " * 999)


@pytest.mark.parametrize("damage", [damage_flip_format, damage_cut, damage_empty, damage_text])
def test_a_damaged_shard_is_set_aside_and_its_rows_become_misses(store, sample, damage):
    keys, rows = sample(20)
    broken = store.add(keys[:10], rows[:10])
    store.add(keys[10:], rows[10:])
    damage(broken)
    store = Store.open(store.folder)
    with pytest.warns(UserWarning, match=f"Damaged shard {broken.name}.*moved to"):
        found = store.contains(keys)
    assert found.tolist() == [False] * 10 + [True] * 10
    assert not broken.exists()
    assert (store.folder / "damaged" / broken.name).exists()
    store.add(keys[:10], rows[:10])
    assert np.array_equal(store.gather(keys), rows)


def flip_a_row(path):
    """Change one bit of a row, and nothing that a look at the folder shows but for the times of the file."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-400] ^= 4
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_flipped_bit_is_noticed_before_a_row_is_used(store, sample):
    keys, rows = sample(20)
    flip_a_row(store.add(keys[:10], rows[:10]))
    store.add(keys[10:], rows[10:])
    with pytest.warns(UserWarning, match="do not have the hash in its name.*moved to"):
        assert store.contains(keys).tolist() == [False] * 10 + [True] * 10
    store.add(keys[:10], rows[:10])
    assert np.array_equal(store.gather(keys), rows)


def test_a_shard_is_compared_with_its_hash_once_a_machine(store, sample, opened, monkeypatch, tmp_path):
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "machine"))
    hashed = []
    real = cache.storage.intact.is_intact
    monkeypatch.setattr(cache.storage.store, "is_intact", lambda path: hashed.append(path) or real(path))
    store = Store.open(store.folder)
    keys, rows = sample(20)
    path = store.add(keys, rows)
    for _ in range(2):
        assert np.array_equal(Store.open(store.folder).gather(keys), rows)
    assert hashed == []  # this machine has written it

    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "another machine"))
    for _ in range(2):
        assert np.array_equal(Store.open(store.folder).gather(keys), rows)
    assert hashed == [path]


def test_no_list_of_intact_shards_travels_with_a_copy(store, sample, tmp_path):
    keys, rows = sample(20)
    store.add(keys, rows)
    assert store.contains(keys).all()
    copy = Store.open(shutil.copytree(store.folder, tmp_path / "copy" / store.folder.name))
    flip_a_row(copy.paths()[0])
    with pytest.warns(UserWarning, match="do not have the hash"):
        assert not copy.contains(keys).any()
    assert np.array_equal(store.gather(keys), rows)


@pytest.mark.parametrize("place", ["a file", "a folder"])
def test_a_cache_folder_that_cannot_be_written_costs_time_only(store, sample, monkeypatch, tmp_path, place):
    (tmp_path / "a file").write_bytes(b"")
    (tmp_path / "a folder" / "verified").mkdir(parents=True)
    (tmp_path / "a folder" / "verified").chmod(0o555)
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / place))
    store = Store.open(store.folder)
    keys, rows = sample(20)
    store.add(keys, rows)
    assert np.array_equal(Store.open(store.folder).gather(keys), rows)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_never_handed_out(store, sample, value):
    keys, rows = sample(10)
    rows[3, 2], rows[7, 0] = value, value
    cache.storage.shard.seal(store.shard_folder, store.space.id, keys, rows)
    names = [f"r/{i}.jpg" for i in range(10)]
    with pytest.raises(
        UserError, match=r"NaN or infinity for r/3\.jpg and 1 more of 10 .*cache verify.*extract"
    ):
        store.gather(keys, names)
    with pytest.raises(UserError, match=f"for SHA-256 {keys[7].tobytes().hex()} of 1 "):
        store.gather(keys[7:8])
    assert np.array_equal(store.gather(keys[8:]), rows[8:])


def test_a_shard_that_is_cut_short_while_it_is_read_is_set_aside(store, sample):
    keys, rows = sample(30)
    first = store.add(keys[:10], rows[:10])
    store.add(keys[10:], rows[10:])
    blocks = store.stream(keys[::-1], 20)
    next(blocks)
    os.truncate(first, Shard(first, store.space.id)._rows_at + 99)
    with (
        pytest.warns(UserWarning, match="cut short after it had been opened"),
        pytest.raises(UserError, match=r"each of 10 pictures, 10 have none"),
    ):
        next(blocks)
    assert store.contains(keys).tolist() == [False] * 10 + [True] * 20


def test_a_file_that_changes_after_it_was_opened_is_looked_at_again(store, sample):
    keys, rows = sample(10)
    path = store.add(keys, rows)
    assert store.contains(keys).all()
    os.truncate(path, 100)
    with pytest.warns(UserWarning, match="Damaged shard"):
        assert not store.contains(keys).any()


def test_a_damaged_shard_that_cannot_be_moved_is_ignored(store, sample):
    keys, rows = sample(20)
    broken = store.add(keys[:10], rows[:10])
    damage_cut(broken)
    (store.folder / "damaged").write_bytes(b"in the way")
    store = Store.open(store.folder)
    with pytest.warns(UserWarning, match="ignored, and could not be moved"):
        assert not store.contains(keys).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(store) == 0
    assert broken.exists()


def test_what_is_no_file_of_ours_is_left_alone(store, sample):
    keys, rows = sample(2)
    store.add(keys, rows)
    (store.shard_folder / "gone.h5").symlink_to("nowhere")
    (store.shard_folder / "folder.h5").mkdir()
    (store.shard_folder / ".tmp-0.h5").write_bytes(b"half")
    (store.shard_folder / "notes.txt").write_bytes(b"mine")
    assert store.contains(keys).all()
    assert len(store.paths()) == 1
    assert len(list(store.shard_folder.iterdir())) == 5


def test_shards_of_different_width_are_refused(store, sample):
    keys, rows = sample(4)
    store.add(keys[:2], rows[:2])
    cache.storage.shard.seal(store.shard_folder, store.space.id, keys[2:], rows[2:, :3])
    with pytest.raises(UserError, match="one shape"):
        store.gather(keys)


def test_space_json_must_hash_to_its_folder(store, space):
    assert Store.open(store.folder).space == space
    path = store.folder / "space.json"
    path.write_text(path.read_text().replace("tiny", "huge"))
    with pytest.raises(UserError, match="hash to its folder's name"):
        Store.open(store.folder)
    path.unlink()
    with pytest.raises(UserError, match="Expected a space in"):
        Store.open(store.folder)


# ---- other processes


def test_a_shard_merged_away_after_listing_is_found_again(store, sample, monkeypatch):
    """The first listing is one from before the merge: as when `gc` runs between listing and opening."""
    keys, rows = sample(30)
    for part in np.split(np.arange(30), 3):
        store.add(keys[part], rows[part])
    before = store.paths()
    assert collect(Store.open(store.folder)).merged == 3
    listings = [before]
    real = Store.paths
    monkeypatch.setattr(Store, "paths", lambda self: listings.pop() if listings else real(self))
    assert np.array_equal(Store.open(store.folder).gather(keys), rows)
    assert not listings


def test_a_shard_merged_away_after_its_header_was_read_is_found_again(store, sample):
    keys, rows = sample(30)
    for part in np.split(np.arange(30), 3):
        store.add(keys[part], rows[part])
    assert len(store.shards()) == 3
    blocks = store.stream(keys, 10)
    assert np.array_equal(next(blocks), rows[:10])
    collect(Store.open(store.folder))
    assert np.array_equal(np.concatenate(list(blocks)), rows[10:])


def test_a_listing_that_misses_the_merged_shard_is_repeated(store, sample, monkeypatch):
    """A folder read while `gc` renames and removes may show neither the old shards nor the new one."""
    keys, rows = sample(30)
    store.add(keys[:10], rows[:10])
    partial = store.paths()
    store.add(keys[10:], rows[10:])
    listings = [partial]
    real = Store.paths
    monkeypatch.setattr(Store, "paths", lambda self: listings.pop() if listings else real(self))
    assert store.contains(keys).all()


ADD = """
import sys
from pathlib import Path
import numpy as np
from cache.storage.store import Store
store = Store.open(Path(sys.argv[1]))
first = int(sys.argv[2])
keys = np.random.default_rng(0).integers(0, 256, (400, 32), dtype=np.uint8)
for start in range(first, first + 200, 10):
    part = np.arange(start, start + 10)
    store.add(keys[part], np.repeat(part[:, None], 5, axis=1).astype(np.float32))
    assert store.contains(keys[first : start + 10]).all()
"""
MERGE = """
import sys
from pathlib import Path
from cache.commands.gc import collect
from cache.storage.store import Store
store = Store.open(Path(sys.argv[1]))
while not Path(sys.argv[2]).exists():
    assert not collect(store, max_rows=60).damaged
"""


def test_processes_add_merge_and_read_at_once(store, sample, child, tmp_path):
    """Overlapping adders, two mergers and a reader: no row is lost, wrong or damaged."""
    keys, _ = sample(400)
    stop = tmp_path / "stop"
    adders = [child(ADD, store.folder, first) for first in (0, 100, 200)]
    mergers = [child(MERGE, store.folder, stop) for _ in range(2)]
    try:
        while any(adder.poll() is None for adder in adders):
            here = np.flatnonzero(store.contains(keys))
            assert np.array_equal(store.gather(keys[here]), np.repeat(here[:, None], 5, axis=1)) or not len(
                here
            )
    finally:
        stop.touch()
        errors = [process.communicate(timeout=60)[1] for process in adders + mergers]
    assert [process.returncode for process in adders + mergers] == [0] * 5, errors
    assert np.array_equal(store.gather(keys)[:, 0], np.arange(400))
    assert verify(store) == []
    collect(store)
    assert np.array_equal(store.gather(keys)[:, 0], np.arange(400))
