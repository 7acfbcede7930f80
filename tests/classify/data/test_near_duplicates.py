"""Near copies of real photographs; thumbnails stand for embeddings, so that no network is needed."""

import io
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_images

from classify.data import near_duplicates
from classify.data.near_duplicates import Groups, groups
from extract.pictures.files import reader
from tests.classify.samples import make_manifest

WIDTH, HEIGHT = 160, 140
COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encoded": lambda picture: picture,
    "resized": lambda picture: picture.resize((WIDTH * 8 // 10, HEIGHT * 8 // 10)),
    "cropped": lambda picture: picture.crop((2, 2, WIDTH - 3, HEIGHT - 2)),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.1),
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def encode(picture: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def look(data: bytes) -> np.ndarray:
    """A stand-in for an embedding: (75,) colours of a thumbnail, the same for its mirror image."""
    with Image.open(io.BytesIO(data)) as image:
        small = np.asarray(image.resize((5, 5), Image.Resampling.BOX), np.float32)
    return (small + small[:, ::-1]).ravel()


class Files:
    """Pictures in memory, and which of them were read."""

    def __init__(self, contents: list[bytes]) -> None:
        self.contents = contents
        self.keys = np.array([list(sha256(data).digest()) for data in contents], np.uint8).reshape(-1, 32)
        self.X = np.array([look(data) for data in contents])
        self.seen: list[int] = []

    def read(self, row: int) -> bytes:
        self.seen.append(row)
        return self.contents[row]

    def groups(self, **options) -> Groups:  # type: ignore[no-untyped-def]
        return groups(self.keys, self.X, self.read, **options)


@pytest.fixture(scope="module")
def tiles() -> list[Image.Image]:
    """24 parts of two photographs, no two of them alike."""
    return [
        Image.fromarray(pixels[y : y + HEIGHT, x : x + WIDTH])
        for pixels in load_sample_images().images
        for y in range(0, 420, HEIGHT)
        for x in range(0, 640, WIDTH)
    ]


@pytest.mark.parametrize("copy", COPIES)
def test_each_picture_is_grouped_with_its_copy(tiles: list[Image.Image], copy: str) -> None:
    copies = [encode(COPIES[copy](tile), 50 if copy == "re-encoded" else 90) for tile in tiles]
    files = Files([encode(tile) for tile in tiles] + copies)
    found = files.groups()
    n = len(tiles)
    assert (found.group[:n] == found.group[n:]).sum() >= n - 1
    # Plain sky may be taken for plain sky; no other parts are.
    assert len(np.unique(found.group)) >= n - 2
    assert (found.pairs[:, 0] < found.pairs[:, 1]).all() and (found.bits <= 10).all()
    assert (found.similarity >= 0.8).all()
    assert found.unconfirmed == found.identical == found.dropped == 0


def test_without_copies_nothing_is_grouped_and_few_files_are_read(tiles: list[Image.Image]) -> None:
    files = Files([encode(tile) for tile in tiles])
    found = files.groups()
    assert len(np.unique(found.group)) >= len(tiles) - 1
    assert len(files.seen) == len(set(files.seen)) <= 2 * found.candidates
    files.seen.clear()
    assert files.groups(threshold=0.9999).group.tolist() == list(range(len(tiles))) and files.seen == []
    small = files.groups(max_pixels=WIDTH * HEIGHT - 1)
    assert small.unconfirmed == small.candidates == found.candidates > 0 == found.unconfirmed


def test_identical_bytes_are_grouped_without_reading(tiles: list[Image.Image]) -> None:
    contents = [encode(tile) for tile in tiles[12:18]]
    files = Files([*contents, contents[2], contents[2], contents[0]])
    found = files.groups(threshold=0.9999)
    assert found.group.tolist() == [0, 1, 2, 3, 4, 5, 2, 2, 0]
    assert found.identical == 3 and len(found.pairs) == 0 and files.seen == []
    assert found.notes[0].startswith("5 pictures are copies or near copies of one another, in 2 groups")


def test_the_block_size_changes_nothing(tiles: list[Image.Image]) -> None:
    files = Files([encode(tile, quality) for quality in (90, 60, 30) for tile in tiles])
    whole = files.groups()
    assert len(whole.pairs) > 24
    for block in (1, 7, 71, 72):
        cut = files.groups(block=block)
        assert (cut.group == whole.group).all() and cut.candidates == whole.candidates
        assert set(map(tuple, cut.pairs)) == set(map(tuple, whole.pairs))


def test_files_that_fail_leave_pairs_unconfirmed(tiles: list[Image.Image]) -> None:
    contents = [encode(tile, quality) for quality in (90, 70) for tile in tiles[12:18]]
    files = Files(contents)
    every = files.groups(threshold=0.97).pairs.tolist()
    assert [0, 6] in every and [1, 7] in every and [2, 8] in every

    def read(row: int) -> bytes:
        if row == 0:
            raise FileNotFoundError
        # 7 was overwritten by another picture since it was hashed; 8 is damaged and was hashed so.
        return contents[9] if row == 7 else contents[row][:100] if row == 8 else contents[row]

    files.keys[8] = list(sha256(contents[8][:100]).digest())
    found = groups(files.keys, files.X, read, threshold=0.97)
    assert found.unconfirmed == sum(bool({0, 7, 8} & set(pair)) for pair in every) == 3
    assert found.pairs.tolist() == [pair for pair in every if not {0, 7, 8} & set(pair)]
    assert "3 pairs look alike but could not be compared" in found.notes[1]


def test_a_picture_has_a_bounded_number_of_pairs(monkeypatch: pytest.MonkeyPatch, tiles) -> None:
    monkeypatch.setattr(near_duplicates, "NEIGHBOURS", 2)
    files = Files(
        [encode(tiles[20], quality) for quality in range(40, 90)] + [encode(tile) for tile in tiles]
    )
    found = files.groups(block=16)
    assert np.bincount(found.pairs[:, 0]).max() <= 2 and found.dropped > 1000
    assert len(np.unique(found.group[:50])) == 1
    assert "further pairs look alike and were not compared" in found.notes[-1]


def test_degenerate_embeddings_are_no_candidates() -> None:
    keys = np.arange(5 * 32, dtype=np.uint8).reshape(5, 32)

    def read(row: int) -> bytes:
        raise AssertionError

    for X in (np.ones((5, 3), np.float32), np.full((5, 3), np.nan, np.float32)):
        assert groups(keys, X, read).group.tolist() == [0, 1, 2, 3, 4]
    assert groups(keys[:0], X[:0], read).group.tolist() == []


def test_the_reader_reads_the_manifests_files(tmp_path: Path) -> None:
    manifest = make_manifest(np.zeros(2, int), ("a",))
    manifest.root, manifest.paths = str(tmp_path), ["x.jpg", "gone.jpg"]
    (tmp_path / "x.jpg").write_bytes(b"abc")
    manifest.size[:] = 3
    read = reader(manifest)
    assert read(0) == b"abc"
    with pytest.raises(OSError):
        read(1)
    (tmp_path / "x.jpg").write_bytes(b"abcdefgh")
    assert read(0) == b"abcd"  # never more than one byte too many: enough to see that it changed
