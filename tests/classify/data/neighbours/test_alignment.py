"""Thumbnails laid over each other: what a small map of the plane cannot hide, and what stays different."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_images

from classify.data.neighbours.alignment import likeness
from classify.data.neighbours.shapes import orientations, oriented
from extract.pictures.thumbnail import thumbnail


def small(picture: Image.Image) -> np.ndarray:
    return thumbnail(picture, picture.size, None, "fast").astype(np.float32)


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    return [Image.fromarray(pixels) for pixels in load_sample_images().images]


def test_small_maps_are_undone(photographs: list[Image.Image]) -> None:
    for picture in photographs:
        copies = [
            picture.crop((32, 21, 608, 406)),
            picture.crop((0, 0, 600, 400)),
            picture.rotate(3, Image.Resampling.BICUBIC),
            ImageEnhance.Contrast(ImageEnhance.Brightness(picture).enhance(0.8)).enhance(0.8),
        ]
        a = np.stack([small(copy) for copy in copies])
        b = np.repeat(small(picture)[None], len(a), axis=0)
        assert (likeness(a, b) > 0.9).all() and (likeness(b, a) > 0.9).all()


def test_other_pictures_stay_other_ones(photographs: list[Image.Image]) -> None:
    a, b = (small(picture)[None] for picture in photographs)
    assert likeness(a, b)[0] < 0.6 and likeness(a, a[:, ::-1])[0] < 0.6


def test_plain_pictures_are_like_none() -> None:
    plain, noise = (
        np.full((1, 32, 32), 7, np.float32),
        np.random.default_rng(0).random((1, 32, 32), np.float32),
    )
    assert likeness(plain, plain)[0] == 0 and abs(likeness(plain, noise)[0]) < 1e-3
    assert likeness(plain[:0], plain[:0]).shape == (0,)


def test_orientations_of_pictures_and_of_their_frequencies_agree(photographs: list[Image.Image]) -> None:
    angle = np.arange(8)[:, None] * (2 * np.arange(32) + 1) * np.pi / 64
    luma, basis = small(photographs[0]), np.cos(angle)
    found = orientations((basis @ luma @ basis.T)[None].astype(np.float32))
    assert len(found) == 8
    for number, frequency in enumerate(found):
        expected = basis @ oriented(luma, number) @ basis.T
        np.testing.assert_allclose(frequency[0], expected, rtol=1e-3, atol=1)
