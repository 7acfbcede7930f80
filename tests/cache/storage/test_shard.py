import hashlib
import stat
import time

import h5py
import numpy as np
import pytest

from cache.errors import UserError
from cache.storage.intact import is_intact
from cache.storage.shard import DamagedShard, Shard, seal

ID = "ab" * 32


def rows_of(shard):
    return shard.take(np.arange(len(shard)))


def test_round_trip_sorts_and_keeps_the_first_of_repeated_keys(tmp_path, sample):
    keys, rows = sample(100)
    keys[70], keys[99] = keys[3], keys[3]
    shard = Shard(seal(tmp_path, ID, keys, rows), ID)
    held = shard.keys.view(np.uint8).reshape(-1, 32)
    assert len(shard) == len(rows_of(shard)) == 98
    assert shard.shape == (5,)
    expected = {}
    for key, row in zip(keys, rows, strict=True):
        expected.setdefault(key.tobytes(), row)
    assert [key.tobytes() for key in held] == sorted(expected)
    for key, row in zip(held, rows_of(shard), strict=True):
        assert np.array_equal(row, expected[key.tobytes()])


def test_more_rows_than_one_copied_block(tmp_path, sample):
    keys, rows = sample(9_000)
    shard = Shard(seal(tmp_path, ID, keys, rows), ID)
    order = np.argsort(keys.view("S32").ravel())
    assert np.array_equal(rows_of(shard), rows[order])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_activations_keep_shape_and_dtype(tmp_path, sample, dtype):
    keys, rows = sample(6, width=2 * 3 * 4)
    rows = rows.reshape(6, 2, 3, 4).astype(dtype)
    shard = Shard(seal(tmp_path, ID, keys, rows), ID)
    order = np.argsort(keys.view("S32").ravel())
    assert shard.dtype == dtype
    assert np.array_equal(rows_of(shard), rows[order])


def test_is_a_plain_old_read_only_hdf5_file(tmp_path, sample):
    keys, rows = sample(10)
    path = seal(tmp_path, ID, keys, rows)
    with h5py.File(path, "r") as file:
        assert set(file) == {"embedding", "key"}
        assert dict(file.attrs) == {"format": 1, "space": ID.encode(), "rows": 10}
        for name in file:
            data = file[name]
            assert (data.chunks, data.compression, data.external) == (None, None, None)
            assert data.id.get_offset() % 64 == 0
    assert path.read_bytes()[8] == 0  # superblock version 0: HDF5 1.0 and later
    assert stat.S_IMODE(path.stat().st_mode) & 0o222 == 0


def test_name_carries_the_hash_and_same_rows_give_same_bytes(tmp_path, sample):
    first = seal(tmp_path, ID, *sample(10))
    time.sleep(1.01)  # HDF5 would record times in seconds
    second = seal(tmp_path, ID, *sample(10))
    assert first != second
    assert first.read_bytes() == second.read_bytes()
    assert first.stem.split("-")[2] == hashlib.sha256(first.read_bytes()).hexdigest()[:16]
    assert sorted([second, first]) == [first, second]  # names sort by age
    assert is_intact(first)


@pytest.mark.parametrize(
    ("keys", "rows"),
    [
        (np.zeros((0, 32), np.uint8), np.zeros((0, 5), np.float32)),
        (np.zeros((2, 32), np.uint8), np.zeros((3, 5), np.float32)),
        (np.zeros((2, 32), np.uint8), np.zeros((2, 5), np.float64)),
        (np.zeros((2, 32), np.uint8), np.zeros(2, np.float32)),
        (np.zeros((2, 31), np.uint8), np.zeros((2, 5), np.float32)),
    ],
)
def test_seal_refuses_what_is_not_rows(tmp_path, keys, rows):
    with pytest.raises(ValueError, match="Expected"):
        seal(tmp_path, ID, keys, rows)
    assert not list(tmp_path.iterdir())


def rewrite(path, data):
    path.chmod(0o644)
    path.write_bytes(data)


def test_opening_reads_no_rows_and_the_hash_notices_a_flipped_byte(tmp_path, sample):
    path = seal(tmp_path, ID, *sample(10))
    data = bytearray(path.read_bytes())
    data[Shard(path, ID)._rows_at] ^= 1
    rewrite(path, data)
    assert len(Shard(path, ID)) == 10
    assert not is_intact(path)


@pytest.mark.parametrize("keep", [0, 1, 100, 2_000, 2_100, -33, -1])
def test_cut_short(tmp_path, sample, keep):
    path = seal(tmp_path, ID, *sample(10))
    rewrite(path, path.read_bytes()[:keep])
    with pytest.raises(DamagedShard):
        Shard(path, ID)


def test_any_flipped_header_byte_is_refused_or_harmless(tmp_path, sample):
    path = seal(tmp_path, ID, *sample(2, width=2))
    whole = path.read_bytes()
    refused = 0
    for place in range(0, 2_048, 9):
        data = bytearray(whole)
        data[place] ^= 0xFF
        rewrite(path, data)
        try:
            Shard(path, ID)
        except DamagedShard:
            refused += 1
    assert refused > 20


def test_cut_short_with_a_header_that_hides_it(tmp_path, sample):
    path = seal(tmp_path, ID, *sample(10))
    data = bytearray(path.read_bytes()[:-1])
    data[40:48] = len(data).to_bytes(8, "little")  # end of file address in the superblock
    rewrite(path, data)
    with pytest.raises(DamagedShard):
        Shard(path, ID)


@pytest.mark.parametrize("content", [b"", b"a text, not HDF5" * 1000])
def test_not_hdf5(tmp_path, content):
    path = tmp_path / "a-b-c.h5"
    path.write_bytes(content)
    with pytest.raises(DamagedShard):
        Shard(path, ID)


def craft(path, *, embedding, count=3, form=1, space=ID):
    with h5py.File(path, "w") as file:
        file.attrs["format"], file.attrs["space"], file.attrs["rows"] = form, np.bytes_(space), count
        file["key"] = np.zeros((3, 32), np.uint8)
        embedding(file)


CRAFTED = {
    "other space": (
        {"space": "cd" * 32},
        lambda f: f.create_dataset("embedding", data=np.zeros((3, 4), "f4")),
    ),
    "row count": ({"count": 4}, lambda f: f.create_dataset("embedding", data=np.zeros((3, 4), "f4"))),
    "old format": ({"form": 0}, lambda f: f.create_dataset("embedding", data=np.zeros((3, 4), "f4"))),
    "missing": ({}, lambda f: None),
    "dtype": ({}, lambda f: f.create_dataset("embedding", data=np.zeros((3, 4), "f8"))),
    "big endian": ({}, lambda f: f.create_dataset("embedding", data=np.zeros((3, 4), ">f4"))),
    "chunks": ({}, lambda f: f.create_dataset("embedding", data=np.zeros((3, 4), "f4"), chunks=(1, 4))),
    "never written": ({}, lambda f: f.create_dataset("embedding", (3, 4), "f4")),
    "group": ({}, lambda f: f.create_group("embedding")),
    "link": ({}, lambda f: f.__setitem__("embedding", h5py.ExternalLink("other.h5", "/embedding"))),
    "external": (
        {},
        lambda f: f.create_dataset("embedding", (3, 4), "f4", external=[("/etc/hostname", 0, 48)]),
    ),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_hdf5_that_is_no_shard_of_this_space(tmp_path, case):
    fields, embedding = CRAFTED[case]
    craft(tmp_path / "a-b-c.h5", embedding=embedding, **fields)
    with pytest.raises(DamagedShard):
        Shard(tmp_path / "a-b-c.h5", ID)


def test_newer_format_is_refused_but_a_flipped_format_is_damage(tmp_path):
    path = tmp_path / "a-b-0000000000000000.h5"
    craft(path, form=2, embedding=lambda f: f.create_dataset("embedding", data=np.zeros((3, 4), "f4")))
    with pytest.raises(DamagedShard):
        Shard(path, ID)
    newer = path.rename(tmp_path / f"a-b-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.h5")
    with pytest.raises(UserError, match=r"format 1, received 2.*Update"):
        Shard(newer, ID)


def test_gone(tmp_path):
    with pytest.raises(FileNotFoundError):
        Shard(tmp_path / "a-b-c.h5", ID)


def test_unreadable_is_not_damaged(tmp_path):
    (tmp_path / "a-b-c.h5").mkdir()  # a folder cannot be opened, even by root
    with pytest.raises(UserError, match="Expected to read"):
        Shard(tmp_path / "a-b-c.h5", ID)
