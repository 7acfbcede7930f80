"""What a network sees of a picture does not depend on the networks that look beside it."""

import io
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from extract.pictures import decoding, look
from extract.pictures.augmentation import View
from extract.pictures.decoding import RejectedImage, decode_whole, render
from extract.pictures.look import Look, Seen, look_at
from extract.pictures.thumbnail import thumbnail
from extract.settings import Decoding
from tests.extract.sample_pictures import encode, scene

KEY = bytes(range(32))
SIZES = (224, 240, 260)


@cache
def photograph(width: int, height: int, form: str = "JPEG", mode: str = "RGB") -> bytes:
    """Detail of all sizes: decoded at another scale, it has other pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    whole = Image.blend(scene(width, height), Image.fromarray(noise), 0.3)
    return encode(whole.convert(mode), form)


# 1,000 pixels are decoded at a half for 224 and 240, and whole for 260.
FILES = {
    "small": (227, 227),
    "one scale": (1100, 1100),
    "two scales": (1000, 1000),
    "wide": (1900, 1000),
    "png": (1000, 1000, "PNG"),
    "grey": (1000, 1000, "JPEG", "L"),
}


def plain(sizes: Sequence[int], resize: str = "crop") -> list[Look]:
    return [Look(size, Decoding(resize), thumbnail=True) for size in sizes]


@pytest.mark.parametrize("resize", ["crop", "pad"])
@pytest.mark.parametrize("name", FILES)
def test_each_look_gives_what_it_gives_alone(name: str, resize: str) -> None:
    data = photograph(*FILES[name])
    looks = [*plain([*SIZES, 64], resize), Look(224, Decoding(resize), View("standard", 1))]
    found = look_at(data, KEY, looks)
    for each in looks:
        seen = found[each]
        assert isinstance(seen, Seen)
        np.testing.assert_array_equal(seen.pixels, render(data, KEY, each.size, each.decoding, each.view))
        if each.view is None:
            np.testing.assert_array_equal(seen.thumbnail, decode_whole(data, each.size, each.decoding)[1])


def count_work(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    counts = dict.fromkeys(("load", "square", "thumbnail"), 0)

    def counting(name: str, real):  # type: ignore[no-untyped-def]
        def call(*words):  # type: ignore[no-untyped-def]
            counts[name] += 1
            return real(*words)

        return call

    monkeypatch.setattr(decoding, "cost", counting("load", decoding.cost))
    monkeypatch.setattr(look, "square", counting("square", look.square))
    monkeypatch.setattr(look, "thumbnail", counting("thumbnail", thumbnail))
    return counts


@pytest.mark.parametrize(("name", "loads"), [("small", 1), ("one scale", 1), ("two scales", 2), ("png", 1)])
def test_a_file_is_decoded_once_for_each_scale_and_resized_once_for_each_size(
    name: str, loads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_work(monkeypatch)
    look_at(photograph(*FILES[name]), KEY, plain(SIZES) + plain(SIZES))
    assert counts == {"load": loads, "square": 3, "thumbnail": loads}


def test_two_scales_are_two_scales() -> None:
    scales = []
    for size in SIZES:
        image = Image.open(io.BytesIO(photograph(*FILES["two scales"])))
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        image.draft(None, (2 * size, 2 * size))
        scales.append(image.size)
    assert scales == [(500, 500), (500, 500), (1000, 1000)]


def test_no_thumbnail_is_made_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count_work(monkeypatch)
    one = Look(224, Decoding())
    seen = look_at(photograph(*FILES["small"]), KEY, [one])[one]
    assert isinstance(seen, Seen) and seen.thumbnail is None and counts["thumbnail"] == 0


def test_a_limit_is_a_look_s_own() -> None:
    low, high = Look(224, Decoding(max_pixels=1000)), Look(224, Decoding())
    found = look_at(photograph(*FILES["small"]), KEY, [low, high])
    assert isinstance(found[low], RejectedImage) and "limit is 1000" in found[low].reason
    assert isinstance(found[high], Seen)


def test_damage_is_told_to_every_look() -> None:
    for data, told in (
        (photograph(*FILES["png"])[:9000], "truncated"),
        (b"GIF89a", "damaged|no picture"),
        (b"", "empty"),
    ):
        found = look_at(data, KEY, plain(SIZES))
        assert len(found) == 3
        for each in found.values():
            assert isinstance(each, RejectedImage)
            with pytest.raises(RejectedImage, match=told):
                raise each
