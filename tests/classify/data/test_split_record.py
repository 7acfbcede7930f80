"""A record of parts that was damaged is noticed: a picture that was tested must not train in silence."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.errors import UserError
from cache.manifest import TEST, TRAIN, VAL
from classify.data.split_record import Assignments
from classify.data.splits import split
from tests.classify.samples import make_manifest


def written(path: Path, n: int = 12) -> Assignments:
    key = make_manifest(np.zeros(n, int), ("one",)).key
    order = np.lexsort(key.T[::-1])
    found = Assignments(key[order], np.resize(np.array([TRAIN, TEST, VAL], np.uint8), n))
    found.save(path)
    return found


def unsealed(path: Path, key: np.ndarray, part: np.ndarray) -> Path:
    """A record as older versions wrote it."""
    with h5py.File(path, "w") as file:
        file.attrs["format"] = 1
        file["key"], file["part"] = key, part
    return path


def test_no_flipped_bit_gives_other_parts_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "record.h5"
    known = written(path, 200)
    data, silent, noticed = path.read_bytes(), 0, 0
    for bit in np.random.default_rng(0).choice(len(data) * 8, 1_000, replace=False).tolist():
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found = Assignments.load(path)
        except UserError:
            noticed += 1
            continue
        assert found is not None
        silent += not (np.array_equal(found.key, known.key) and np.array_equal(found.part, known.part))
    assert silent == 0 and noticed > 500


def test_a_part_that_was_edited_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "record.h5"
    known = written(path)
    with h5py.File(path, "r+") as file:
        file["part"][int(np.flatnonzero(known.part == TEST)[0])] = TRAIN
    with pytest.raises(UserError, match="may then train") as caught:
        Assignments.load(path)
    assert str(path) in str(caught.value) and "delete it" in str(caught.value)


@pytest.mark.parametrize("length", [0, 8, 100, -1])
def test_a_record_that_was_cut_short_is_noticed(tmp_path: Path, length: int) -> None:
    path = tmp_path / "record.h5"
    written(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match="damaged"):
        Assignments.load(path)


def test_values_of_older_records_are_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "record.h5"
    known = written(path)
    key, part = known.key, known.part
    found = Assignments.load(unsealed(path, key, part))
    assert found is not None and not found.sealed and np.array_equal(found.part, part)
    wrong = {
        "part 0": (key, part * 0),
        "part 7": (key, np.where(part == TEST, 7, part)),
        "part 255": (key, np.where(part == TEST, 255, part).astype(np.uint8)),
        "short parts": (key, part[:-1]),
        "wide parts": (key, part.astype(np.int64)),
        "order": (key[::-1], part),
        "twice": (key[[0, 0, *range(2, len(key))]], part),
        "short keys": (key[:, :31], part),
    }
    for name, (keys, parts) in wrong.items():
        with pytest.raises(UserError, match="damaged"):
            Assignments.load(unsealed(path, keys, parts))
            pytest.fail(name)


def test_an_older_record_is_told_of_and_sealed_when_it_is_next_written(tmp_path: Path) -> None:
    path = tmp_path / "record.h5"
    manifest = make_manifest(np.repeat([0, 1], 20), ("one", "two"))
    first = split(manifest).assigned
    assert first is not None
    divided = split(manifest, previous=Assignments.load(unsealed(path, first.key, first.part)))
    assert [note for note in divided.notes if "without a checksum" in note] == divided.notes[:1]
    assert divided.assigned is not None and np.array_equal(divided.assigned.part, first.part)
    divided.assigned.save(path)
    assert split(manifest, previous=Assignments.load(path)).notes == []
