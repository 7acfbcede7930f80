"""Pictures in memory become the pixels and keys that the same pictures become as files."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.errors import UserError
from extract.embedding.picture_reader import Picture, flat, picture_key
from extract.notebook.inputs import listed
from extract.pictures.decoding import decode
from extract.pictures.square import RejectedImage, square
from extract.settings import RESIZES, Decoding
from tests.extract.sample_pictures import encode, scene, with_orientation

SCENE = scene(61, 40)
WITH_HOLES = SCENE.copy()
WITH_HOLES.putalpha(Image.linear_gradient("L").resize(SCENE.size))
DEEP = Image.fromarray(np.arange(61 * 40, dtype=np.uint16).reshape(40, 61) * 20)
FILES = {
    "png": encode(SCENE, "PNG"),
    "grey": encode(SCENE.convert("L"), "PNG"),
    "black and white": encode(SCENE.convert("1"), "PNG"),
    "palette": encode(SCENE.convert("P"), "PNG"),
    "transparent": encode(WITH_HOLES, "PNG"),
    "16 bits": encode(DEEP, "PNG"),
    "cmyk": encode(SCENE.convert("CMYK"), "TIFF"),
    "jpeg below twice the size": encode(SCENE, "JPEG"),
    "jpeg on its side": with_orientation(SCENE, 6),
    "jpeg turned over": with_orientation(SCENE, 4),
}


def pixels(picture: Picture, size: int = 32, resize: str = "crop") -> np.ndarray:
    image, turn = flat(picture, 10**6)
    return square(image, image.size, turn, size, *Decoding(resize).rule)


def key(picture: Picture) -> bytes:
    return picture_key(*flat(picture, 10**6))


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("kind", FILES)
def test_an_opened_file_has_the_pixels_of_the_file(kind: str, resize: str) -> None:
    opened = Image.open(io.BytesIO(FILES[kind]))
    np.testing.assert_array_equal(
        pixels(opened, 32, resize), decode(FILES[kind], 32, Decoding(resize)), strict=True
    )


@pytest.mark.parametrize("shape", [(40, 61), (40, 61, 1), (40, 61, 3), (40, 61, 4)])
def test_an_array_has_the_pixels_of_its_png(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    image = Image.fromarray(array[:, :, 0] if shape[2:] == (1,) else array)
    np.testing.assert_array_equal(pixels(array), decode(encode(image, "PNG"), 32, Decoding()), strict=True)


def test_the_key_is_as_documented() -> None:
    array = np.asarray(SCENE)
    line = b"coldframe picture 1, 61x40, upright\n"
    assert key(array) == hashlib.sha256(line + array.tobytes()).digest()
    opened = Image.open(io.BytesIO(FILES["jpeg on its side"]))
    stored = np.asarray(opened)
    line = b"coldframe picture 1, 61x40, ROTATE_270\n"
    assert key(opened) == hashlib.sha256(line + stored.tobytes()).digest()


def test_the_key_goes_by_the_picture_and_not_by_its_kind() -> None:
    grey = np.asarray(SCENE.convert("L"))
    same = [SCENE, np.asarray(SCENE), Image.open(io.BytesIO(FILES["png"])), np.asfortranarray(SCENE)]
    same_grey = [grey, grey[..., None], np.stack([grey] * 3, -1), SCENE.convert("L")]
    assert len({key(picture) for picture in same}) == len({key(picture) for picture in same_grey}) == 1
    reshaped = np.asarray(SCENE).reshape(61, 40, 3)
    others = [SCENE, grey, reshaped, SCENE.transpose(Image.Transpose.ROTATE_90), WITH_HOLES]
    assert len({key(picture) for picture in others}) == len(others)


def test_reading_leaves_the_picture_as_it_was() -> None:
    turned = Image.open(io.BytesIO(FILES["jpeg on its side"]))
    key(turned)
    assert turned.size == (61, 40) and turned.mode == "RGB" and turned.getexif()[0x0112] == 6
    array = np.asarray(SCENE).copy()
    pixels(array)
    np.testing.assert_array_equal(array, np.asarray(SCENE))


def test_what_pillow_cannot_load_is_rejected_with_its_reason() -> None:
    with pytest.raises(RejectedImage, match="truncated"):
        flat(Image.open(io.BytesIO(encode(SCENE, "JPEG")[:-200])), 10**6)
    with pytest.raises(RejectedImage, match="too large: 61 x 40"):
        flat(SCENE, 1000)
    with pytest.raises(RejectedImage, match="brightness scale"):
        flat(Image.fromarray(np.full((4, 4), 7, np.float32)), 10**6)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "received none"),
        (np.zeros((0, 8, 8, 3), np.uint8), "received none"),
        ("a.jpg", r"received one str. Put it in a list"),
        (Path("a.jpg"), r"received one PosixPath|received one WindowsPath"),
        (SCENE, "received one Image"),
        ((name for name in ["a.jpg"]), r"received a generator. Pass list\(x\)"),
        ({"a.jpg"}, "received a set"),
        (np.zeros((8, 8, 3), np.uint8), r"\(8, 8, 3\): one picture. Pass it as x\[None\]"),
        (np.zeros((2, 5), np.uint8), r"received shape \(2, 5\)"),
        (np.zeros((2, 2), object), r"ndarray of shape \(2, 2\)"),
        (np.zeros((2, 8, 8, 5), np.uint8), r"received \(8, 8, 5\) for picture 0"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"\(3, 8, 8\) for picture 0.*np\.moveaxis"),
        (np.zeros((2, 8, 8, 3)), r"received float64 for picture 0.*\(255 \* x\)\.round"),
        (np.zeros((2, 8, 8), np.int64), r"received int64 for picture 0.*astype"),
        (["a.jpg", None], "a NoneType for picture 1"),
        ([SCENE, np.zeros((0, 8), np.uint8)], r"\(0, 8\) for picture 1"),
        ([[1, 2, 3]], r"a list for picture 0 .*\[1, 2, 3\]"),
    ],
)
def test_what_holds_no_pictures_is_refused_with_advice(given: object, told: str) -> None:
    with pytest.raises(UserError, match=told):
        listed(given)


def test_collections_of_all_kinds_are_listed() -> None:
    pandas = pytest.importorskip("pandas")
    names = ["a.jpg", "b.jpg"]
    for given in (names, tuple(names), np.array(names), pandas.Series(names), [Path("a.jpg"), Path("b.jpg")]):
        assert listed(given) == names
    assert listed([b"a\xff.jpg".decode("utf-8", "surrogateescape")]) == ["a\udcff.jpg"]
    assert len(listed([SCENE, "a.jpg", np.zeros((4, 5), np.uint8), np.zeros((9, 9, 3), np.uint8)])) == 4
    assert [picture.shape for picture in listed(np.zeros((2, 8, 7, 3), np.uint8))] == [(8, 7, 3)] * 2  # type: ignore[union-attr]
