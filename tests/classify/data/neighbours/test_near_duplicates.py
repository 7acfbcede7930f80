"""Near copies of real photographs; thumbnails stand for embeddings, so that no network is needed."""

import io
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_images

from cache.storage.store import Store
from cache.workspace import Workspace
from classify.data.neighbours import pairs
from classify.data.neighbours.near_duplicates import Groups, groups
from extract.embedding.thumbnails import Beside, thumbnails_of
from extract.pictures.decoding import decode_whole
from extract.settings import Decoding
from tests.classify.samples import SPACE

WIDTH, HEIGHT = 160, 140
COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encoded": lambda picture: picture,
    "resized": lambda picture: picture.resize((WIDTH * 8 // 10, HEIGHT * 8 // 10)),
    "cropped": lambda picture: picture.crop((2, 2, WIDTH - 3, HEIGHT - 2)),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.1),
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}
FURTHER: dict[str, Callable[[Image.Image], Image.Image]] = {
    "on its side": lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    "upside down": lambda picture: picture.transpose(Image.Transpose.ROTATE_180),
    "on its other side": lambda picture: picture.transpose(Image.Transpose.ROTATE_270),
    "turned": lambda picture: picture.rotate(3, Image.Resampling.BICUBIC),
    "grey": lambda picture: picture.convert("L"),
    "5 % cropped": lambda picture: picture.crop((8, 7, WIDTH - 8, HEIGHT - 7)),
    "all of it": lambda picture: (
        picture.crop((8, 7, WIDTH - 8, HEIGHT - 7)).transpose(Image.Transpose.ROTATE_90).convert("L")
    ),
}


def encode(picture: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def look(data: bytes) -> np.ndarray:
    """A stand-in for an embedding: (75,) colours of a thumbnail, the same for its mirror image."""
    with Image.open(io.BytesIO(data)) as image:
        small = np.asarray(image.convert("RGB").resize((5, 5), Image.Resampling.BOX), np.float32)
    return (small + small[:, ::-1]).ravel()


def keep_thumbnails(store: Store, contents: list[bytes]) -> None:
    made = Beside(store)
    for data in contents:
        made.add(sha256(data).digest(), decode_whole(data, 64, Decoding())[1])
    made.seal()


class Files:
    """Pictures in memory, and their thumbnails in a cache."""

    def __init__(self, contents: list[bytes], seen: list[bytes] | None = None) -> None:
        self.keys = np.array([list(sha256(data).digest()) for data in contents], np.uint8).reshape(-1, 32)
        self.X = np.array([look(data) for data in contents])
        self.folder = TemporaryDirectory()
        self.thumbnails = thumbnails_of(Workspace(Path(self.folder.name)), SPACE)
        keep_thumbnails(self.thumbnails, contents if seen is None else seen)

    def groups(self, **options) -> Groups:  # type: ignore[no-untyped-def]
        return groups(self.keys, self.X, self.thumbnails, **options)


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
    assert (found.pairs[:, 0] < found.pairs[:, 1]).all()
    assert ((found.bits <= 10) | (found.likeness >= 0.9)).all()
    assert found.unseen == found.identical == found.dropped == 0


@pytest.mark.parametrize("copy", FURTHER)
def test_turned_and_cropped_copies_are_found_where_there_is_detail(
    tiles: list[Image.Image], copy: str
) -> None:
    busy = [tile for tile in tiles if np.asarray(tile.convert("L")).std() > 50]
    assert len(busy) >= 8
    found = Files([encode(tile) for tile in busy] + [encode(FURTHER[copy](tile)) for tile in busy]).groups()
    n = len(busy)
    assert (found.group[:n] == found.group[n:]).sum() >= n - 2
    assert len(np.unique(found.group)) >= n


def test_without_copies_nothing_is_grouped(tiles: list[Image.Image]) -> None:
    files = Files([encode(tile) for tile in tiles])
    assert len(np.unique(files.groups().group)) >= len(tiles) - 1


def test_identical_bytes_are_grouped_without_thumbnails(tiles: list[Image.Image]) -> None:
    contents = [encode(tile) for tile in tiles[12:18]]
    files = Files([*contents, contents[2], contents[2], contents[0]], seen=[])
    found = files.groups()
    assert found.group.tolist() == [0, 1, 2, 3, 4, 5, 2, 2, 0]
    assert found.identical == 3 and len(found.pairs) == 0 and found.unseen == 6
    assert found.notes[0].startswith("5 pictures are copies or near copies of one another, in 2 groups")


def test_the_block_size_changes_nothing(tiles: list[Image.Image]) -> None:
    files = Files([encode(tile, quality) for quality in (90, 60, 30) for tile in tiles])
    whole = files.groups()
    assert len(whole.pairs) > 24
    for block in (1, 7, 71, 72):
        cut = files.groups(block=block)
        assert (cut.group == whole.group).all() and cut.candidates == whole.candidates
        assert set(map(tuple, cut.pairs)) == set(map(tuple, whole.pairs))


def test_pictures_without_a_thumbnail_are_alone_and_counted(tiles: list[Image.Image]) -> None:
    contents = [encode(tile, quality) for quality in (90, 70) for tile in tiles[12:18]]
    every = Files(contents).groups().pairs.tolist()
    assert [0, 6] in every and [1, 7] in every and [2, 8] in every
    found = Files(contents, seen=[data for row, data in enumerate(contents) if row not in (0, 7, 8)]).groups()
    assert found.unseen == 3
    assert found.pairs.tolist() == [pair for pair in every if not {0, 7, 8} & set(pair)]
    assert found.notes[-1].startswith("3 pictures were not compared with others")


def test_a_picture_has_a_bounded_number_of_pairs(monkeypatch: pytest.MonkeyPatch, tiles) -> None:
    monkeypatch.setattr(pairs, "NEIGHBOURS", 2)
    files = Files(
        [encode(tiles[20], quality) for quality in range(40, 90)] + [encode(tile) for tile in tiles]
    )
    found = files.groups(block=16)
    assert np.bincount(found.pairs[:, 0]).max() <= 2 and found.dropped > 1000
    assert len(np.unique(found.group[:50])) == 1
    assert "further pairs look alike and were not compared" in found.notes[-1]


def test_degenerate_embeddings_are_no_candidates(tmp_path: Path) -> None:
    keys = np.arange(5 * 32, dtype=np.uint8).reshape(5, 32)
    none = thumbnails_of(Workspace(tmp_path), SPACE)
    for X in (np.ones((5, 3), np.float32), np.full((5, 3), np.nan, np.float32)):
        assert groups(keys, X, none).group.tolist() == [0, 1, 2, 3, 4]
    assert groups(keys[:0], X[:0], none).group.tolist() == []
