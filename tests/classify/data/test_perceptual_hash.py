"""The perceptual hash: what copies keep, and what tells pictures apart."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_images

from classify.data.near_duplicates import hamming, phash
from extract.pictures.decoding import decode_both
from extract.pictures.thumbnail import SIDE
from extract.settings import Decoding


def seen(picture: Image.Image, quality: int = 90) -> np.ndarray:
    """The thumbnail that is hashed, after a trip through a file."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return decode_both(file.getvalue(), 224, Decoding())[1]


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    return [Image.fromarray(pixels) for pixels in load_sample_images().images]


COPIES: dict[str, Callable[[Image.Image], np.ndarray]] = {
    "quality 50": lambda picture: seen(picture, 50),
    "resized": lambda picture: seen(picture.resize((512, 342))),
    "cropped": lambda picture: seen(picture.crop((10, 6, 630, 421))),
    "brighter": lambda picture: seen(ImageEnhance.Brightness(picture).enhance(1.1)),
    "grey": lambda picture: seen(picture.convert("L").convert("RGB")),
    "mirrored back": lambda picture: seen(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))[:, ::-1],
}


@pytest.mark.parametrize("copy", COPIES)
def test_copies_differ_in_few_bits(photographs: list[Image.Image], copy: str) -> None:
    for picture in photographs:
        assert hamming(phash(seen(picture)), phash(COPIES[copy](picture))) <= 10


def test_different_pictures_differ_in_about_half_of_the_bits(photographs: list[Image.Image]) -> None:
    a, b = (phash(seen(picture)) for picture in photographs)
    mirrored = phash(seen(photographs[0])[:, ::-1])
    assert 20 <= hamming(a, b) <= 44 and 20 <= hamming(a, mirrored) <= 44


def test_half_of_the_bits_are_set(photographs: list[Image.Image]) -> None:
    for picture in photographs:
        assert int(phash(seen(picture))).bit_count() in (31, 32)


def test_each_bit_is_one_frequency() -> None:
    x = (2 * np.arange(SIDE) + 1) * np.pi / (2 * SIDE)
    hashes = []
    for down, right in ((0, 1), (3, 0), (7, 7)):
        wave = np.cos(down * x)[:, None] * np.cos(right * x)
        found = phash(np.rint(127 + 100 * wave))
        assert int(found) >> (63 - 8 * down - right) & 1
        hashes.append(found)
    assert len(set(hashes)) == 3 and all(one.dtype == np.uint64 for one in hashes)


def test_hamming_counts_bits() -> None:
    a = np.array([0, 1, 2**64 - 1], np.uint64)
    assert hamming(a, np.zeros(3, np.uint64)).tolist() == [0, 1, 64]
