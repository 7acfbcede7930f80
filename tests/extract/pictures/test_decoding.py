"""Decoding: every kind of picture, every resize rule, and hostile bytes that may only ever be rejected."""

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from cache.errors import UserError
from extract.pictures import square
from extract.pictures.decoding import (
    DECODERS,
    FORMATS,
    RejectedImage,
    check_start,
    decode,
    limits,
    resizer_of,
)
from extract.pictures.resizing import resized
from extract.settings import RESIZERS, RESIZES, Decoding
from tests.extract import sample_pictures

# pytest puts its own warning filters over the one that the module sets for the process.
pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\.")

ROOT = Path(__file__).parents[3]
PLAIN = Decoding()
GOOD = sample_pictures.formats() | sample_pictures.modes()
BAD = sample_pictures.bad()


def reference(
    image: Image.Image, size: int, box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC, box)).astype(int)


@pytest.mark.parametrize("name", sample_pictures.formats())
def test_every_format_shows_the_same_scene(name: str) -> None:
    expected = reference(sample_pictures.scene(), 32, (10, 0, 50, 40))
    got = decode(GOOD[name], 32, PLAIN)
    assert got.dtype == np.uint8 and got.shape == (32, 32, 3)
    assert np.abs(got - expected).mean() < 3


@pytest.mark.parametrize("name", sample_pictures.modes())
def test_every_mode_decodes(name: str) -> None:
    for resize in RESIZES:
        got = decode(GOOD[name], 24, Decoding(resize))
        assert got.dtype == np.uint8 and got.shape == (24, 24, 3)


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_rejected_with_a_reason(name: str) -> None:
    data, part = BAD[name]
    with pytest.raises(RejectedImage) as rejected:
        decode(data, 32, PLAIN)
    assert part in rejected.value.reason
    assert len(rejected.value.reason.splitlines()) == 1
    with pytest.raises(RejectedImage) as again:
        decode(data, 32, PLAIN)
    assert again.value.reason == rejected.value.reason


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", RESIZES)
def test_turning_after_resizing_equals_turning_first(orientation: int, resize: str) -> None:
    for width, height in ((61, 40), (40, 61), (60, 41), (32, 32)):
        data = sample_pictures.with_orientation(sample_pictures.scene(width, height), orientation, "PNG")
        turned = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        first = decode(sample_pictures.encode(turned, "PNG", exif=b""), 32, Decoding(resize))
        after = decode(data, 32, Decoding(resize))
        assert np.abs(after.astype(int) - first).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_camera_jpeg_is_turned(orientation: int) -> None:
    big = sample_pictures.scene(801, 603)
    data = sample_pictures.with_orientation(big, orientation, quality=95)
    exif = Image.Exif()
    exif[0x0112] = orientation
    big.info["exif"] = exif.tobytes()
    expected = decode(sample_pictures.encode(ImageOps.exif_transpose(big), "PNG"), 64, PLAIN)
    assert np.abs(decode(data, 64, PLAIN).astype(int) - expected).mean() < 1.5


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("shape", [(801, 603), (603, 807), (1600, 1200), (2001, 250)])
def test_reduced_decoding_stays_in_register_with_the_full_picture(
    shape: tuple[int, int], resize: str
) -> None:
    image = sample_pictures.scene(*shape)
    full = decode(sample_pictures.encode(image, "PNG"), 32, Decoding(resize)).astype(int)
    reduced = decode(
        sample_pictures.encode(image, "JPEG", quality=98, subsampling=0), 32, Decoding(resize)
    ).astype(int)
    assert np.abs(full - reduced).mean() < 0.6
    assert np.abs(full - reduced).max() <= 4


def test_large_jpeg_is_decoded_at_reduced_size(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(image: Image.Image, *how: Any) -> Image.Image:
        seen.append(image.size)
        return resized(image, *how)

    monkeypatch.setattr(square, "resized", watched)
    data = sample_pictures.encode(sample_pictures.scene(1600, 1200), "JPEG")
    decode(data, 64, Decoding("crop"))
    decode(data, 64, Decoding("pad"))
    decode(data, 300, Decoding("crop"))
    assert seen == [(200, 150), (200, 150), (800, 600)]  # the shorter side stays at least twice the target


def test_crop_is_the_centred_square() -> None:
    pixels = np.zeros((8, 20, 3), np.uint8)
    pixels[:, 6:14] = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    data = sample_pictures.encode(Image.fromarray(pixels), "PNG")
    assert np.array_equal(decode(data, 8, PLAIN), pixels[:, 6:14])


def test_squash_takes_the_whole_picture() -> None:
    image = sample_pictures.scene(90, 30)
    data = sample_pictures.encode(image, "PNG")
    assert np.array_equal(decode(data, 30, Decoding("squash", resizer="pillow")), reference(image, 30))
    assert np.abs(decode(data, 30, Decoding("squash")) - reference(image, 30)).max() <= 2


def test_pad_centres_the_whole_picture_on_black() -> None:
    got = decode(sample_pictures.encode(Image.new("RGB", (90, 30), "white"), "PNG"), 30, Decoding("pad"))
    assert (got[10:20] == 255).all() and (got[:10] == 0).all() and (got[20:] == 0).all()


def test_picture_of_the_right_size_is_untouched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (17, 17, 3), dtype=np.uint8)
    for resize in RESIZES:
        assert np.array_equal(
            decode(sample_pictures.encode(Image.fromarray(pixels), "PNG"), 17, Decoding(resize)), pixels
        )


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (10_000, 1), (3, 2)])
@pytest.mark.parametrize("resize", RESIZES)
def test_extreme_shapes(shape: tuple[int, int], resize: str) -> None:
    got = decode(sample_pictures.encode(Image.new("RGB", shape, (10, 200, 30)), "PNG"), 16, Decoding(resize))
    colours = {tuple(colour) for colour in got.reshape(-1, 3).tolist()}
    assert (10, 200, 30) in colours and colours <= {(10, 200, 30), (0, 0, 0)}


def test_transparency_is_matted_on_white_before_resizing() -> None:
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[:, :20] = (255, 0, 0, 0)  # red that nobody is meant to see
    pixels[:, 20:] = (0, 0, 0, 255)
    data = sample_pictures.encode(Image.fromarray(pixels), "PNG")
    got = decode(data, 10, PLAIN).astype(int)
    assert (got[..., 0] == got[..., 1]).all() and (got[..., 0] == got[..., 2]).all()
    assert (got[:, 0] == 255).all() and (got[:, -1] == 0).all()
    pixels[:, :, 3] = 51
    faint = decode(sample_pictures.encode(Image.fromarray(pixels), "PNG"), 40, PLAIN)
    assert faint[0, 0].tolist() == [255, 204, 204] and faint[0, -1].tolist() == [204, 204, 204]


@pytest.mark.parametrize("mode", ["LA", "PA", "P", "L", "RGB", "I;16"])
def test_every_way_to_be_transparent(mode: str) -> None:
    if mode in ("LA", "PA"):
        image = Image.new("LA", (2, 1), (0, 255)).convert(mode)
        image.putalpha(Image.fromarray(np.array([[0, 255]], np.uint8)))
        data = sample_pictures.encode(image, "TIFF" if mode == "PA" else "PNG")
    else:
        image = Image.new(mode, (2, 1))
        image.putpixel((1, 0), 1 if mode in ("P", "L") else 257 if mode == "I;16" else (1, 1, 1))
        if mode == "P":
            image.putpalette([0, 0, 0, 1, 1, 1])
        data = sample_pictures.encode(image, "PNG", transparency=(0, 0, 0) if mode == "RGB" else 0)
    got = decode(data, 2, Decoding("squash"))
    assert (got[:, 0] == 255).all() and (got[:, 1] < 2).all()


def test_cmyk_looks_like_its_rgb() -> None:
    expected = reference(sample_pictures.scene(), 32, (10, 0, 50, 40))
    for name in ("cmyk.jpg", "cmyk.tif"):
        assert np.abs(decode(GOOD[name], 32, PLAIN) - expected).mean() < 3


@pytest.mark.parametrize(
    ("kind", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("TIFF", "<i4"), ("PPM", "<i4")]
)
def test_sixteen_bits_are_divided_by_257_and_rounded(kind: str, dtype: str) -> None:
    values = np.array([[0, 128, 129], [257 * 7 + 128, 257 * 7 + 129, 257 * 100], [65279, 65407, 65535]])
    got = decode(sample_pictures.encode(Image.fromarray(values.astype(dtype)), kind), 3, PLAIN)
    assert got[..., 0].tolist() == [[0, 0, 1], [7, 8, 100], [254, 255, 255]]
    assert (got == got[..., :1]).all()


def test_floats_from_0_to_1_fill_the_range() -> None:
    values = np.array([[0, 0.25], [0.5, 1]], np.float32)
    got = decode(sample_pictures.encode(Image.fromarray(values), "TIFF"), 2, PLAIN)
    assert got[..., 1].tolist() == [[0, 64], [128, 255]]


@pytest.mark.parametrize(
    "name", ["animation.gif", "animation.png", "animation.webp", "pages.tif", "several.mpo", "several.heic"]
)
def test_first_frame_is_taken(name: str) -> None:
    if name not in GOOD:
        pytest.skip("Pillow was built without this format")
    first, second = (reference(sample_pictures.scene(seed=seed), 32, (10, 0, 50, 40)) for seed in (0, 1))
    got = decode(GOOD[name], 32, PLAIN)
    assert np.abs(got - first).mean() < 4 < np.abs(got - second).mean()


heic = pytest.mark.skipif("HEIF" not in FORMATS, reason="pillow-heif is not installed: coldframe[heic]")


@heic
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_of_phones_are_turned_once(orientation: int) -> None:
    image = sample_pictures.scene(600, 400)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = sample_pictures.encode(image, "HEIF", exif=exif.tobytes(), quality=95)
    assert (b"irot" in turned or b"imir" in turned) == (orientation > 1)  # said twice, as phones do
    data = sample_pictures.with_orientation(image, orientation, "PNG")
    assert np.abs(decode(turned, 64, PLAIN).astype(int) - decode(data, 64, PLAIN)).mean() < 1.5


@heic
def test_a_thumbnail_inside_is_not_taken_for_the_picture() -> None:
    image = sample_pictures.scene(600, 400)
    plain, with_one = (
        sample_pictures.encode(image, "HEIF", quality=95, thumbnails=sizes) for sizes in ([], [200])
    )
    assert len(with_one) > len(plain)
    assert np.array_equal(decode(with_one, 64, PLAIN), decode(plain, 64, PLAIN))


@heic
def test_the_size_of_a_heic_picture_is_known_before_it_is_decoded() -> None:
    with pytest.raises(RejectedImage, match="60 x 40 = 2400 pixels, the limit is 2399"):
        decode(GOOD["plain.heic"], 8, Decoding(max_pixels=2399))


def test_without_its_extra_a_picture_of_a_phone_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "pillow_heif.py").write_text("raise ImportError('not here')")
    brands = (b"heic....mif1heic", b"mif1....mif1heic", b"hevc....msf1hevc", b"mif1....mif1avif", b"heix....")
    files = [(8 + len(each)).to_bytes(4, "big") + b"ftyp" + each + bytes(200) for each in brands]
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from extract.pictures.decoding import RejectedImage, decode, limits
from extract.settings import Decoding
for data in {files!r}:
    try:
        decode(data, 8, Decoding())
    except RejectedImage as error:
        print(error.reason)
print(limits(Decoding()))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    *told, limit = done.stdout.splitlines()
    advice = "HEIC: pip install 'coldframe[heic]'"
    assert [line == advice for line in told] == [True, True, True, False, True]
    assert (
        "no picture" in told[3] and "HEIF" not in limit
    )  # so that they are tried again where it is installed
    if "HEIF" in FORMATS:
        assert "HEIF" in limits(PLAIN)
        for data in files:
            check_start(data)


def test_size_limit_is_ours_and_names_both_numbers() -> None:
    data = GOOD["plain.png"]  # 60 x 40
    decode(data, 8, Decoding(max_pixels=2400))
    with pytest.raises(RejectedImage, match="60 x 40 = 2400 pixels, the limit is 2399"):
        decode(data, 8, Decoding(max_pixels=2399))
    # Far above Pillow's own limit the header is still accepted, and the missing pixels are what is wrong.
    with pytest.raises(RejectedImage, match="cannot load"):
        decode(sample_pictures.png(200_000_000, 1, depth=1, colour=0), 8, Decoding(max_pixels=10**9))


def test_names_say_what_they_depend_on() -> None:
    assert limits(PLAIN) != limits(Decoding(max_pixels=1))
    assert "PNG" in limits(PLAIN) and "64000000" in limits(PLAIN)
    with pytest.raises(UserError, match="crop, squash, pad, received 'stretch'"):
        Decoding("stretch")
    with pytest.raises(UserError, match="fast, pillow, received 'opencv'"):
        Decoding(resizer="opencv")
    assert [resizer_of(DECODERS[resizer]) for resizer in RESIZERS] == list(RESIZERS)
    with pytest.raises(
        UserError, match=r"bicubic by fast_image_resize.*received 'pillow;.*another version of cold"
    ):
        resizer_of("pillow;lanczos")


def test_the_decoder_of_spaces_before_there_was_a_choice_is_known() -> None:
    before = "pillow;exif;alpha-white;cmyk-rgb;16bit-scale;first-frame;draft2x;bicubic"
    assert resizer_of(before) == "pillow"  # spaces, runs and models on people's disks have this text


def test_threads_decode_like_one() -> None:
    files = list(GOOD.values()) * 3
    alone = [decode(data, 32, PLAIN) for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: decode(data, 32, PLAIN), files))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_mutilated_files_are_decoded_or_rejected() -> None:
    rng = np.random.default_rng(0)
    files = [data for data in GOOD.values() if len(data) < 100_000]
    rejected = 0
    for turn in range(1500):
        data = np.frombuffer(files[turn % len(files)], np.uint8).copy()
        reach = len(data) if turn % 2 else min(len(data), 200)
        data[rng.integers(0, reach, 6)] = rng.integers(0, 256, 6)
        cut = rng.integers(1, len(data)) if turn % 5 == 0 else len(data)
        try:
            assert decode(data[:cut].tobytes(), 8, Decoding(max_pixels=1_000_000)).shape == (8, 8, 3)
        except RejectedImage:
            rejected += 1
    assert 300 < rejected < 1500


def test_nothing_is_printed_behind_our_back() -> None:
    code = """
from tests.extract import sample_pictures
from extract.pictures.decoding import RejectedImage, decode
from extract.settings import Decoding
files = list((sample_pictures.formats() | sample_pictures.modes()).values())
files += [data for data, _ in sample_pictures.bad().values()]
rejected = 0
for data in files:
    try:
        decode(data, 8, Decoding())
    except RejectedImage:
        rejected += 1
print(rejected)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(BAD)
    assert done.stderr == ""
