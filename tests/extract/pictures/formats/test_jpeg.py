"""libjpeg-turbo beside Pillow: the same pixels of the same files, sound and damaged, and the same complaints."""

import io

import numpy as np
import pytest
from PIL import Image

from extract.pictures.decoding import decode_whole
from extract.pictures.formats import jpeg
from extract.pictures.square import RejectedImage
from extract.settings import Decoding
from tests.extract.sample_pictures import encode, scene

pytestmark = pytest.mark.skipif(not jpeg._ALIKE, reason="no simplejpeg, or Pillow without libjpeg-turbo")


def noisy(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(0).integers(-30, 30, (height, width, 3))
    return Image.fromarray((np.asarray(scene(width, height)) + noise).clip(0, 255).astype(np.uint8))


def opened(data: bytes, smaller: int = 1) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.draft(None, (image.width // smaller, image.height // smaller))
    return image


@pytest.mark.parametrize("smaller", [1, 2, 4, 8])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(227, 227), (233, 101), (64, 65)])
def test_pixels_are_those_of_pillow(
    size: tuple[int, int], mode: str, progressive: bool, subsampling: int, smaller: int
) -> None:
    data = encode(noisy(*size).convert(mode), "JPEG", subsampling=subsampling, progressive=progressive)
    found, pillow = jpeg.pixels(opened(data, smaller), data), opened(data, smaller)
    assert found is not None
    assert found.size == pillow.size
    assert (found.mode, found.tobytes()) == (mode, pillow.tobytes())


def test_rgb_that_was_never_converted_is_read_as_such() -> None:
    data = encode(noisy(80, 60), "JPEG", keep_rgb=True)
    found = jpeg.pixels(opened(data), data)
    assert found is not None
    assert found.tobytes() == opened(data).tobytes()


def test_what_is_no_plain_jpeg_is_left_to_pillow() -> None:
    for data in (
        encode(Image.new("L", (2049, 2048)), "JPEG"),
        encode(noisy(80, 60).convert("CMYK"), "JPEG"),
        encode(noisy(80, 60), "PNG"),
        encode(noisy(80, 60), "JPEG")[:-200],
    ):
        assert jpeg.pixels(Image.open(io.BytesIO(data)), data) is None


def test_damaged_files_give_what_pillow_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(data: bytes) -> object:
        try:
            return [part.tobytes() for part in decode_whole(data, 96, Decoding())]
        except RejectedImage as error:
            return error.reason

    random, whole, seen = np.random.default_rng(0), encode(noisy(233, 210), "JPEG", progressive=False), set()
    for number in range(300):
        data = bytearray(whole)
        for _ in range(1 + number % 3):
            data[random.integers(2, len(data))] = random.integers(256)
        damaged = bytes(data[: random.integers(20, len(data))]) if number % 5 == 0 else bytes(data)
        found = outcome(damaged)
        with monkeypatch.context() as without:
            without.setattr(jpeg, "_ALIKE", False)
            assert found == outcome(damaged)
        seen.add(type(found))
    assert seen == {str, list}
