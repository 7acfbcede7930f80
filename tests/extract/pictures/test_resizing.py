"""Both resizers: as near to each other as rounding, the same from any thread, and never in need of much memory."""

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from extract.pictures.decoding import decode, decode_whole
from extract.pictures.resizing import Box, resized
from extract.pictures.thumbnail import thumbnail
from extract.settings import RESIZERS, RESIZES, Decoding
from tests.extract.sample_pictures import encode, with_orientation

ROOT = Path(__file__).parents[3]
BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR
PHOTOGRAPH = Image.fromarray(load_sample_images().images[0])  # 640 x 427

# By what is special about them: part of a picture, and the size that it gets.
CASES: dict[str, tuple[Image.Image, Box, tuple[int, int]]] = {
    "smaller": (PHOTOGRAPH, (0, 0, 640, 427), (224, 224)),
    "part": (PHOTOGRAPH, (106.5, 0, 533.5, 427), (224, 224)),
    "fractions": (PHOTOGRAPH, (0.25, 0, 639.625, 426.5), (224, 149)),
    "larger": (PHOTOGRAPH.resize((90, 60)), (15, 0, 75, 60), (224, 224)),
    "grey": (PHOTOGRAPH.convert("L"), (106.5, 0, 533.5, 427), (224, 224)),
    "long and low": (PHOTOGRAPH.resize((3000, 5)), (0, 0.5, 3000, 4.5), (224, 224)),
    "high and narrow": (PHOTOGRAPH.resize((5, 3000)), (0.5, 0, 4.5, 3000), (224, 224)),
    "in several blocks of Pillow's memory": (
        PHOTOGRAPH.resize((5000, 4200)),
        (400, 0, 4600, 4200),
        (224, 224),
    ),
    "in memory of NumPy's": (
        Image.fromarray(np.asarray(PHOTOGRAPH.convert("L"))),
        (0, 0, 640, 427),
        (100, 100),
    ),
}


@pytest.mark.parametrize("how", [BICUBIC, BILINEAR])
@pytest.mark.parametrize("case", CASES)
def test_they_differ_by_rounding(case: str, how: Image.Resampling) -> None:
    image, box, size = CASES[case]
    pillow = image.resize(size, how, box)
    assert resized(image, size, box, how, "pillow").tobytes() == pillow.tobytes()
    fast = resized(image, size, box, how, "fast")
    assert (fast.mode, fast.size) == (image.mode, size)
    difference = np.abs(np.asarray(fast).astype(int) - np.asarray(pillow))
    # More than 1 only beside edges where the first pass goes beyond 0..255, which each resizer cuts off.
    assert (difference > 1).mean() < 0.002 and difference.mean() < 0.3 and difference.max() <= 16


@pytest.mark.parametrize("resize", RESIZES)
def test_pillow_gives_the_bytes_that_it_gave_before_there_was_a_choice(resize: str) -> None:
    data, decoding = encode(PHOTOGRAPH.resize((1600, 1200)), "JPEG"), Decoding(resize, resizer="pillow")
    image = Image.open(io.BytesIO(data))
    target = {"crop": (64, 64), "squash": (64, 64), "pad": (64, 48)}[resize]
    image.draft(None, (2 * target[0], 2 * target[1]))
    box = (25, 0, 175, 150) if resize == "crop" else (0, 0, *image.size)
    expected = Image.new("RGB", (64, 64))
    expected.paste(image.resize(target, BICUBIC, box), (0, (64 - target[1]) // 2))
    pixels, found, _ = decode_whole(data, 64, decoding)
    np.testing.assert_array_equal(pixels, np.asarray(expected))
    small = image.resize((32, 32), BILINEAR, (0, 0, *image.size), reducing_gap=2.0).convert("L")
    np.testing.assert_array_equal(found, np.asarray(small))


def test_the_default_is_the_fast_one_and_says_so() -> None:
    data = encode(PHOTOGRAPH, "PNG")
    fast, pillow = (decode(data, 100, Decoding(resizer=resizer)) for resizer in RESIZERS)
    assert np.array_equal(decode(data, 100, Decoding()), fast) and not np.array_equal(fast, pillow)


@pytest.mark.parametrize("resizer", RESIZERS)
def test_threads_at_once_give_the_same_bytes(resizer: str) -> None:
    sizes = [(427 + 5 * i, 300 + 7 * i) for i in range(12)] * 6
    files = {size: with_orientation(PHOTOGRAPH.resize(size), 6, quality=90) for size in sizes}
    decoding = Decoding(resizer=resizer)
    alone = {size: decode_whole(data, 64, decoding) for size, data in files.items()}
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda size: decode_whole(files[size], 64, decoding), sizes))
    for size, parts in zip(sizes, found, strict=True):
        for part, expected in zip(parts, alone[size], strict=True):
            np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("resizer", RESIZERS)
@pytest.mark.parametrize("value", [0, 1, 128, 254, 255])
def test_one_colour_stays_that_colour(value: int, resizer: str) -> None:
    for size in ((7, 9), (500, 333), (4000, 3)):
        image = Image.new("L", size, value)
        for how in (BICUBIC, BILINEAR):
            small = resized(image, (33, 20), (0, 0, *size), how, resizer)
            assert set(small.tobytes()) == {value}


@pytest.mark.skipif(sys.platform == "win32", reason="memory is asked for as on POSIX")
def test_a_very_long_picture_takes_no_memory_beside_its_own() -> None:
    code = """
import resource
from PIL import Image
from extract.pictures.decoding import square, thumbnail
image = Image.new("L", ({}))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert square(image, image.size, None, 224, "squash", "fast").shape == (224, 224, 3)
thumbnail(image, image.size, None, "fast")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    for shape in ("3_000_000, 1", "1, 3_000_000"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(shape)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert int(done.stdout) < 300_000  # KiB; 3,000,000 lines of 224 pixels would be more than twice that


def test_without_the_package_pillow_is_the_default_and_the_other_refused() -> None:
    code = """
import sys
sys.modules["cykooz_resizer"] = None
from cache.errors import UserError
from extract.pictures.decoding import decode
from extract.settings import Decoding
decode(sys.stdin.buffer.read(), 100, Decoding())
try:
    Decoding(resizer="fast")
except UserError as error:
    print(Decoding().resizer, error)
"""
    data = encode(PHOTOGRAPH, "PNG")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, input=data, capture_output=True, check=True)
    assert done.stdout.startswith(b"pillow Expected the package cykooz-resizer") and b"Rust" in done.stdout


def test_the_thumbnail_of_a_picture_longer_than_any_jpeg_is_made_by_pillow() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 65_536), dtype=np.uint8)
    for longest, same in ((65_535, False), (65_536, True)):
        image = Image.fromarray(noise[:, :longest])
        fast, pillow = (thumbnail(image, image.size, None, resizer) for resizer in RESIZERS)
        assert np.array_equal(fast, pillow) == same
