"""What is plain to see of a picture: known figures of pictures made for it."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from extract.pictures.decoding import decode_whole
from extract.pictures.facts import Facts
from extract.settings import RESIZES, Decoding
from tests.extract.sample_pictures import encode, with_orientation

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8))
PHOTOGRAPH = NOISE.resize((400, 300), Image.Resampling.BICUBIC)


def of(data: bytes, resize: str = "crop", size: int = 64) -> Facts:
    return Facts(*decode_whole(data, size, Decoding(resize))[2])


def test_a_picture_that_is_half_black_and_half_white() -> None:
    image = Image.new("L", (96, 96))
    image.paste(255, (48, 0, 96, 96))
    found = of(encode(image, "PNG"))
    assert (found.width, found.height, found.darkest, found.brightest) == (96, 96, 0, 1)
    assert [found.brightness, found.contrast, found.entropy] == pytest.approx([0.5, 0.5, 1])


def test_levels_are_shares_of_white() -> None:
    ramp = np.tile(np.arange(96, dtype=np.uint8), (96, 1))
    found = of(encode(Image.fromarray(ramp), "PNG"))
    assert found.brightness == pytest.approx(ramp.mean() / 255)
    assert found.contrast == pytest.approx(ramp.std() / 255)
    assert found.darkest * 255 == pytest.approx(np.percentile(ramp, 5), abs=1)
    assert found.brightest * 255 == pytest.approx(np.percentile(ramp, 99), abs=1)
    assert found.entropy == pytest.approx(np.log2(96))


def test_one_colour_is_no_information() -> None:
    found = of(encode(Image.new("RGB", (50, 40), (9, 9, 9)), "PNG"))
    assert [found.contrast, found.entropy, found.sharpness] == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_size_is_that_of_the_upright_file() -> None:
    large = PHOTOGRAPH.resize((1600, 1200))  # decoded smaller
    assert (of(encode(large, "JPEG")).width, of(encode(large, "JPEG")).height) == (1600, 1200)
    on_its_side = of(with_orientation(large, 6))
    assert (on_its_side.width, on_its_side.height) == (1200, 1600)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    PHOTOGRAPH.save(file, "TIFF", exif=exif)  # Pillow turns it as it loads it
    assert (of(file.getvalue()).width, of(file.getvalue()).height) == (300, 400)


@pytest.mark.parametrize("resize", RESIZES)
def test_a_blurred_picture_is_less_sharp_and_a_dimmed_one_as_sharp(resize: str) -> None:
    sharp = of(encode(PHOTOGRAPH, "PNG"), resize, 224).sharpness
    blurred = [PHOTOGRAPH.filter(ImageFilter.GaussianBlur(radius)) for radius in (2, 4, 8)]
    falling = [sharp, *(of(encode(each, "PNG"), resize, 224).sharpness for each in blurred)]
    assert falling == sorted(falling, reverse=True) and falling[-1] < 0.5 * sharp
    dimmed = PHOTOGRAPH.point(lambda level: level // 2)
    assert of(encode(dimmed, "PNG"), resize, 224).sharpness == pytest.approx(sharp, rel=0.1)


def test_a_border_is_no_edge() -> None:
    smooth = Image.linear_gradient("L").resize((400, 200)).filter(ImageFilter.GaussianBlur(3))
    padded, squashed = of(encode(smooth, "PNG"), "pad", 224), of(encode(smooth, "PNG"), "squash", 224)
    assert padded.sharpness == pytest.approx(squashed.sharpness, rel=0.5)
    turned = of(with_orientation(PHOTOGRAPH, 6), "pad", 224).sharpness
    assert turned == pytest.approx(of(encode(PHOTOGRAPH, "JPEG"), "pad", 224).sharpness, rel=0.1)
