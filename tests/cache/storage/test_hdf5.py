import os

import h5py
import numpy as np
import pytest

from cache.errors import UserError
from cache.storage.hdf5 import UNREADABLE, read_arrays, write_arrays

ARRAYS = {"key": np.arange(64, dtype=np.uint8).reshape(2, 32), "part": np.array([1, 3], np.uint8)}


def test_what_was_written_comes_back(tmp_path):
    write_arrays(tmp_path / "a.h5", 1, ARRAYS)
    named, sealed = read_arrays(tmp_path / "a.h5", 1, "")
    assert sealed and named.keys() == ARRAYS.keys()
    assert all((named[name] == ARRAYS[name]).all() for name in ARRAYS)


def test_no_flipped_bit_gives_another_content_in_silence(tmp_path):
    path = tmp_path / "a.h5"
    write_arrays(path, 1, ARRAYS)
    good, silent = path.read_bytes(), 0
    for at in range(0, len(good), 3):  # a byte of any number that is wide
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        path.write_bytes(bad)
        try:
            named, sealed = read_arrays(path, 1, "")
        except (UserError, *UNREADABLE):
            continue
        same = named.keys() == ARRAYS.keys() and all(np.array_equal(named[n], ARRAYS[n]) for n in ARRAYS)
        silent += sealed and not same
    assert silent == 0


def test_an_older_file_without_a_seal_loads(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["format"] = 1
        file["part"] = ARRAYS["part"]
    named, sealed = read_arrays(tmp_path / "a.h5", 1, "")
    assert not sealed and named["part"].tolist() == [1, 3]


def test_more_than_the_file_holds_is_not_believed(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["format"] = 1
        file.create_dataset("part", (10**12,), np.uint8, chunks=(1024,), compression="gzip")
    with pytest.raises(ValueError, match="no array of numbers of this file's own"):
        read_arrays(tmp_path / "a.h5", 1, "")


def test_arrays_of_other_files_are_not_followed(tmp_path):
    write_arrays(tmp_path / "other.h5", 1, ARRAYS)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["format"] = 1
        file["part"] = h5py.ExternalLink("other.h5", "part")
    with pytest.raises(ValueError, match="no array of numbers of this file's own"):
        read_arrays(tmp_path / "a.h5", 1, "")


def test_a_newer_format_and_a_pipe_are_told(tmp_path):
    write_arrays(tmp_path / "a.h5", 2, ARRAYS)
    with pytest.raises(UserError, match=r"newer coldframe wrote it.*Delete"):
        read_arrays(tmp_path / "a.h5", 1, "Delete it.")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UserError, match="regular file"):
        read_arrays(tmp_path / "fifo", 1, "")
