"""Pictures inside a page."""

from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.manifest import Manifest
from classify.report.html.thumbnails import of_rows, thumbnail
from extract.pictures.files import hashed
from extract.sources.folder import read_folder


def opened(uri: str) -> Image.Image:
    kind, _, data = uri.partition(";base64,")
    assert kind == "data:image/jpeg"
    return Image.open(BytesIO(b64decode(data)))


@pytest.mark.parametrize("kind", ["array", "bytes", "path"])
def test_a_picture_becomes_a_small_square(tmp_path: Path, kind: str) -> None:
    pixels = np.full((40, 60, 3), (200, 30, 30), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = {"array": pixels, "bytes": (tmp_path / "a.png").read_bytes(), "path": tmp_path / "a.png"}[kind]
    small = opened(thumbnail(picture, 24))
    assert small.size == (24, 24)
    assert np.abs(np.asarray(small.convert("RGB")).mean((0, 1)) - (200, 30, 30)).max() < 8


def test_what_is_no_picture_gives_none(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    assert thumbnail(tmp_path / "a.jpg") == thumbnail(tmp_path / "gone.jpg") == thumbnail(b"") == ""


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Four pictures with their keys."""
    for number in range(4):
        (tmp_path / "class").mkdir(exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 255, (30, 30, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "class" / f"{number}.png")
    found = read_folder(tmp_path).manifest
    for row, path in enumerate(found.paths):
        found.key[row] = np.frombuffer(hashed(tmp_path / path).key, np.uint8)
    return found


def test_pictures_that_are_gone_or_others_now_are_empty(manifest: Manifest) -> None:
    root = Path(manifest.root)
    (root / manifest.paths[1]).unlink()
    (root / manifest.paths[2]).write_bytes((root / manifest.paths[0]).read_bytes())
    made = of_rows(manifest, [3, 2, 1, 0])
    assert list(made) == [3, 2, 1, 0] and [row for row in made if made[row]] == [3, 0]


def test_the_first_ones_fit_into_the_budget(manifest: Manifest) -> None:
    every = of_rows(manifest, [2, 0, 1, 2])
    assert list(every) == [2, 0, 1]
    assert list(of_rows(manifest, [2, 0, 1], budget=len(every[2]) + len(every[0]))) == [2, 0]
    assert list(of_rows(manifest, [2, 0, 1], most=1)) == [2]
