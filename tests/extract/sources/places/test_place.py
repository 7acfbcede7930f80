"""One way to the bytes of a picture: what a place gives is what every reader of pictures reads."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from extract.embedding.file_reader import FileReader
from extract.embedding.reading import Claims, Taker
from extract.pictures import files
from extract.pictures.decoding import RejectedImage
from extract.pictures.look import Look
from extract.settings import Decoding
from extract.sources.places.kinds import Opened
from extract.sources.places.place import join, open_at, stat_at
from extract.sources.unlabelled import unlabelled
from tests.extract.sample_pictures import encode, scene


def test_a_file_gives_its_bytes_its_size_and_its_time(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    address = join(str(tmp_path), "a.jpg")
    with open_at(address) as there:
        assert there.file.read(3) == b"123"
        there.file.seek(0)
        assert there.file.read(9) == b"12345"
    assert (there.size, there.mtime_ns) == (5, (tmp_path / "a.jpg").stat().st_mtime_ns)
    assert stat_at(address) == (5, there.mtime_ns) and stat_at(tmp_path) is None and stat_at("\0") is None


def test_what_is_no_file_says_why(tmp_path: Path) -> None:
    for address, reason in ((tmp_path, "directory"), (tmp_path / "gone", "No such file")):
        with pytest.raises(OSError, match=reason), open_at(address):
            pass


def test_pictures_are_read_from_wherever_the_place_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = encode(scene(64, 48), "PNG")
    kept = {"far://away/a.png": picture, "far://away/b.txt": b"no picture"}

    @contextmanager
    def open_there(address: str) -> Iterator[Opened]:
        try:
            data = kept[address]
        except KeyError:
            raise OSError(0, "no such object") from None
        yield Opened(io.BytesIO(data), len(data), 7)

    monkeypatch.setattr(files, "open_at", open_there)
    manifest = unlabelled(["a.png", "b.txt", "c.png"])
    manifest.root = "far://away"
    taker = Taker(Look(32, Decoding()), Claims(lambda keys: np.zeros(len(keys), bool)))
    reads = {read.index: read for read in FileReader(manifest, [taker])([0, 1, 2])}
    assert reads[0].pixels[0].shape == (32, 32, 3)
    assert reads[0].key == hashlib.sha256(picture).digest() == manifest.key[0].tobytes()
    assert (manifest.size[0], manifest.mtime_ns[0]) == (len(picture), 7)
    assert reads[1].rejects and reads[2].rejects[0].reason == "cannot be read: no such object"
    with pytest.raises(RejectedImage, match="changed"):
        files.load("far://away", "a.png", bytes(32), 32, Decoding())
