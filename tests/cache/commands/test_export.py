import dataclasses
import errno
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import cache.commands.export
from cache.commands.export import _Disk, export
from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.store import Store


@pytest.fixture
def flowers(store, sample):
    keys, rows = sample(25)
    store.add(keys[:10], rows[:10])
    store.add(keys[10:], rows[10:])
    paths = [f"r/{i}.jpg" for i in range(24)] + ["caf\udce9\n.jpg"]
    n = np.arange(25)
    manifest = Manifest(
        "/data/ü", ("rose", "tulip"), paths, (n % 3 - 1).astype("i4"), (n % 4).astype("u1"), keys, n, n
    )
    return manifest, store, rows


def test_exports_everything_in_manifest_order(flowers, tmp_path, monkeypatch):
    manifest, store, rows = flowers
    monkeypatch.setattr(cache.commands.export, "_BLOCK", 8)
    backwards = np.arange(24, -1, -1)
    assert export(manifest.select(backwards), store, tmp_path / "o.h5") == 25
    with h5py.File(tmp_path / "o.h5", "r") as file:
        assert np.array_equal(file["embedding"], rows[::-1])
        assert np.array_equal(file["label"], manifest.label[::-1])
        assert np.array_equal(file["key"], manifest.key[::-1])
        assert file["path"][0] == b"caf\xe9\n.jpg"
        assert file["path"].asstr()[1:].tolist() == manifest.paths[23::-1]
        assert file["split"].asstr()[:5].tolist() == ["", "test", "val", "train", ""]
        assert file["classes"].asstr()[:].tolist() == ["rose", "tulip"]
        assert json.loads(file.attrs["space"])["backbone"] == "tiny"
        assert file.attrs["root"] == "/data/ü" and "parts" not in file.attrs
    assert [path.name for path in tmp_path.glob("*") if path.is_file()] == ["o.h5"]


def test_parts_of_a_row_are_named(space, sample, tmp_path):
    staged = dataclasses.replace(space, pooling="stages:2+3")
    store, (keys, rows) = Store(tmp_path / "staged", staged).create(), sample(1)
    store.add(keys, rows)
    n = np.arange(1)
    manifest = Manifest("/data", ("rose",), ["r/1.jpg"], n.astype("i4"), n.astype("u1"), keys, n, n)
    export(manifest, store, tmp_path / "o.h5")
    with h5py.File(tmp_path / "o.h5", "r") as file:
        start, stop = json.loads(file.attrs["parts"])["top"]
        assert np.array_equal(file["embedding"][:, start:stop], rows[:, 2:])


def test_an_existing_file_needs_force(flowers, tmp_path):
    manifest, store, _ = flowers
    out = tmp_path / "o.h5"
    out.write_bytes(b"precious")
    with pytest.raises(UserError, match=r"exists. Pass --force"):
        export(manifest, store, out)
    assert out.read_bytes() == b"precious"
    assert export(manifest, store, out, force=True) == 25
    assert h5py.is_hdf5(out)


@pytest.mark.parametrize(
    ("name", "told"), [("nodir/o.h5", "nodir is not there"), ("o.txt", r"\.h5 or \.hdf5")]
)
def test_another_suffix_or_a_folder_that_is_missing_is_refused(flowers, tmp_path, name, told):
    manifest, store, _ = flowers
    with pytest.raises(UserError, match=told):
        export(manifest, store, tmp_path / name)
    assert not [path for path in tmp_path.rglob("o.*")]


def test_a_sample_without_embedding_stops_it_and_leaves_nothing(flowers, tmp_path):
    manifest, store, _ = flowers
    manifest.key[3] = 0
    with pytest.raises(UserError, match="1 have none"):
        export(manifest, store, tmp_path / "o.h5")
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_no_samples(flowers, tmp_path):
    manifest, store, _ = flowers
    assert export(manifest.select(np.zeros(25, bool)), store, tmp_path / "o.h5") == 0
    with h5py.File(tmp_path / "o.h5", "r") as file:
        assert file["embedding"].shape == (0, 5)


def test_a_size_limit_leaves_the_old_file_and_no_other(flowers, tmp_path, child):
    pytest.importorskip("resource", reason="POSIX only")
    manifest, store, _ = flowers
    out = tmp_path / "o.h5"
    out.write_bytes(b"precious")
    manifest.save(tmp_path / "m.h5")
    code = """
import resource, sys
from pathlib import Path
from cache.errors import UserError
from cache.commands.export import export
from cache.manifest import Manifest
from cache.storage.store import Store
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    export(Manifest.load(Path(sys.argv[1])), Store.open(Path(sys.argv[2])), Path(sys.argv[3]), force=True)
except UserError as error:
    print(error)
"""
    process = child(code, tmp_path / "m.h5", store.folder, out)
    text, err = process.communicate()
    assert "no space left" in text, err
    assert process.returncode == 0, "HDF5 crashes at exit if it could not close the file"
    assert out.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.h5", "o.h5", "spaces"]


FAIL = """
import io, os, sys
from pathlib import Path
from cache.errors import UserError
import cache.commands.export as export
from cache.manifest import Manifest
from cache.storage.store import Store
number, left = getattr(__import__("errno"), sys.argv[4]), int(sys.argv[5])
class Failing(io.FileIO):
    def write(self, data):
        global left
        left -= 1
        if left < 0:
            raise OSError(number, os.strerror(number))
        return super().write(data)
export._Disk.__bases__ = (Failing,)
export._BLOCK = 4
try:
    export.export(Manifest.load(Path(sys.argv[1])), Store.open(Path(sys.argv[2])), Path(sys.argv[3]), force=True)
    print("written in", int(sys.argv[5]) - left)
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("number", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("at", [0, 3, 12, -1])
def test_a_write_that_fails_is_told_in_a_line(flowers, tmp_path, child, number, at):
    manifest, store, _ = flowers
    out = tmp_path / "o.h5"
    out.write_bytes(b"precious")
    manifest.save(tmp_path / "m.h5")
    arguments = tmp_path / "m.h5", store.folder, out, number
    if at < 0:
        text, err = child(FAIL, *arguments, 10_000).communicate()
        at += int(text.split()[-1])
        out.write_bytes(b"precious")
    process = child(FAIL, *arguments, at)
    text, err = process.communicate()
    assert (process.returncode, err) == (0, ""), "HDF5 crashes at exit if it could not close the file"
    assert text.startswith(f"Could not write {out}: "), text
    assert out.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.h5", "o.h5", "spaces"]


def test_what_a_killed_export_left_goes_with_the_next_one_and_what_another_writes_stays(flowers, tmp_path):
    manifest, store, _ = flowers
    killed = []

    def dies(*_):
        killed.append(next(tmp_path.glob(".tmp-*")))
        killed[0].with_name(f"{killed[0].name}-copy").write_bytes(
            b"half"
        )  # what a kill at this moment leaves
        assert export(manifest, store, tmp_path / "o.h5") == 25  # another process, which finds it locked
        assert killed[0].exists() and not killed[0].with_name(f"{killed[0].name}-copy").exists()
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        real = cache.commands.export._fill
        patch.setattr(cache.commands.export, "_fill", lambda *all_: dies() if not killed else real(*all_))
        export(manifest, store, tmp_path / "o.h5")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["o.h5"]


def test_what_the_disk_does_not_take_is_read_back(tmp_path: Path) -> None:
    with _Disk(tmp_path / "a", "w+") as disk:
        disk.write(b"0123456789")
        disk.failure = OSError(errno.ENOSPC, "full")
        disk.seek(8)
        assert disk.write(b"abcd") == 4 and disk.tell() == 12
        disk.seek(6)
        read = bytearray(9)
        assert disk.readinto(read) == 9 and read == b"67abcd\0\0\0"
        with pytest.raises(OSError, match="full"):
            disk.check()
    assert (tmp_path / "a").read_bytes() == b"0123456789"
