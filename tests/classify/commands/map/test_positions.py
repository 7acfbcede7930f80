"""Places are found again by key, and damage is told."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.errors import UserError
from classify.commands.map.positions import Positions
from tests.classify.samples import make_manifest

KEYS = np.sort(make_manifest(np.zeros(6), ("a",)).key.view("S32").ravel()).view(np.uint8).reshape(-1, 32)


def test_they_are_found_again_by_key(tmp_path: Path) -> None:
    where = np.arange(8.0).reshape(4, 2)
    Positions(KEYS[:4], where).save(tmp_path / "maps" / "a.h5")
    found = Positions.load(tmp_path / "maps" / "a.h5").of(KEYS[2:])
    np.testing.assert_array_equal(found, [[4, 5], [6, 7], [np.nan, np.nan], [np.nan, np.nan]])


def test_others_come_to_them() -> None:
    one = Positions(KEYS[[1, 3]], np.array([[1.0, 1], [3, 3]]))
    more = one.with_more(KEYS[[0, 4]], np.array([[0.0, 0], [4, 4]]))
    np.testing.assert_array_equal(more.key, KEYS[[0, 1, 3, 4]])
    np.testing.assert_array_equal(more.where[:, 0], [0, 1, 3, 4])


def test_there_are_none_at_first(tmp_path: Path) -> None:
    assert np.isnan(Positions.load(tmp_path / "a.h5").of(KEYS)).all()


def test_damage_and_newer_files_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    Positions(KEYS, np.zeros((6, 2))).save(path)
    data = bytearray(path.read_bytes())
    at = data.index(KEYS.tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="SHA-256"):
        Positions.load(path)
    path.write_bytes(b"no HDF5")
    with pytest.raises(ValueError):
        Positions.load(path)
    with h5py.File(path, "w") as file:
        file.attrs["format"] = 2
    with pytest.raises(UserError, match="a newer coldframe wrote it"):
        Positions.load(path)
