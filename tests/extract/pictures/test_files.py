"""Files that are read, whatever they are: none is waited for, none fills the memory."""

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from extract.embedding.file_reader import FileReader
from extract.embedding.reading import Claims, Taker
from extract.pictures import files
from extract.pictures.decoding import RejectedImage
from extract.pictures.look import Look
from extract.pictures.memory import MIB, Room
from extract.settings import Decoding
from extract.sources.places.place import open_at_once
from extract.sources.unlabelled import unlabelled
from tests.extract.sample_pictures import encode, scene, write_special

ROOT = Path(__file__).parents[3]


def give_all(keys: np.ndarray) -> np.ndarray:
    return np.zeros(len(keys), bool)


def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    for name in [*write_special(tmp_path), ".", "missing"]:
        for read in (files.hashed, files.first_bytes, lambda path: files.opened(path).__enter__()):
            with pytest.raises(RejectedImage, match="cannot be read"):
                read(tmp_path / name)


def test_a_plain_file_that_has_nothing_to_give_is_refused() -> None:
    kernel = Path("/proc/kmsg")
    if not os.access(kernel, os.R_OK):
        pytest.skip("the kernel's log is not ours to read")
    with open(kernel, "rb", buffering=0, opener=open_at_once) as file:
        while file.read(MIB) is not None:
            pass
    for read in (files.hashed, files.first_bytes, lambda path: files.opened(path).__enter__()):
        with pytest.raises(RejectedImage, match="nothing to give"):
            read(kernel)


def test_a_file_without_a_size_is_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Path("/proc/self/status")
    if not endless.exists():
        pytest.skip("no /proc here")
    with files.opened(endless) as contents:
        assert contents.size == 0 and len(contents.data) > 500
    monkeypatch.setattr(files, "LARGE", 500)
    for read in (files.hashed, lambda path: files.opened(path).__enter__()):
        with pytest.raises(RejectedImage, match="goes on after its 0 bytes"):
            read(endless)


def test_a_large_file_that_is_no_picture_is_hashed_and_not_held(tmp_path: Path) -> None:
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(200 * MIB)
    code = f"""
from pathlib import Path
from extract.pictures.files import opened
def peak(): return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak()
with opened(Path({str(tmp_path / "sparse.jpg")!r})) as contents:
    print(len(contents.data), contents.key.hex(), peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    length, key, more = done.stdout.split()
    digest = hashlib.sha256()
    for _ in range(200):
        digest.update(bytes(MIB))
    assert key == digest.hexdigest()
    assert int(length) < 100 and int(more) < 20_000  # KiB


def test_large_pictures_wait_for_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        (tmp_path / f"{number}.bmp").write_bytes(encode(scene(seed=number), "BMP"))
    size = (tmp_path / "0.bmp").stat().st_size
    most, lock = [0], threading.Lock()

    class Watched(Room):
        def hold(self, wanted: int):  # type: ignore[no-untyped-def]
            with lock:
                most[0] = max(most[0], self.taken)
            return super().hold(wanted)

    room = Watched(2 * size)
    monkeypatch.setattr(files, "LARGE", 100)
    monkeypatch.setattr(files, "FILES", room)
    manifest = unlabelled([str(tmp_path / f"{number}.bmp") for number in range(8)])
    reader = FileReader(manifest, [Taker(Look(8, Decoding()), Claims(give_all))])
    threads = [
        threading.Thread(target=lambda rows: list(reader(rows)), args=(range(start, 8, 4),))
        for start in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert manifest.hashed.all() and most[0] <= 2 * size and room.taken == 0


def test_a_large_file_with_a_small_pictures_header_is_refused_unread(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.jpg"
    for start in (
        encode(scene(64, 48), "JPEG"),
        encode(scene(64, 48), "PNG"),
        b"\xff\xd8\xff" + bytes(9),
    ):
        path.write_bytes(start)
        os.truncate(path, 511 * MIB)
        monkeypatch.setattr(files, "_whole", lambda *_: pytest.fail("read whole"))
        with (
            pytest.raises(RejectedImage, match=r"535,822,336 bytes for 64 x 48 pixels|header"),
            files.opened(path),
        ):
            pass


def test_a_large_photograph_with_a_video_behind_it_is_read(tmp_path: Path) -> None:
    photograph = encode(scene(64, 48), "JPEG")
    (tmp_path / "a.jpg").write_bytes(photograph + bytes(20 * MIB))
    with files.opened(tmp_path / "a.jpg") as contents:
        assert len(contents.data) == len(photograph) + 20 * MIB
