"""Which output is the embedding, and which input is pictures."""

from types import SimpleNamespace

import pytest

from cache.errors import UserError
from extract.backbones.external.signature import PictureInput, choose_output, read_input

MAPS, ROWS = (None, 8, 8, 5), (None, 5)


@pytest.mark.parametrize(
    ("outputs", "asked", "chosen"),
    [
        ({"any": MAPS}, "", "any"),
        ({"a": ROWS, "default": MAPS}, "", "default"),
        ({"tokens": (None, 9, 4), "pooler_output": (None, 4)}, "", "pooler_output"),
        ({"a": MAPS, "b": ROWS}, "", "b"),
        ({"a": MAPS, "b": None, "default": ROWS}, "b", "b"),
    ],
)
def test_the_output_that_is_meant(outputs: dict, asked: str, chosen: str) -> None:
    assert choose_output(outputs, asked, "keras:own.keras") == chosen


@pytest.mark.parametrize(
    ("outputs", "asked", "told"),
    [
        ({"b": MAPS, "a": None}, "", r"several: a of unknown shape, b \(B, 8, 8, 5\).*'keras:own.keras#a'"),
        ({"a": ROWS, "b": ROWS}, "", r"a \(B, 5\), b \(B, 5\)"),
        ({"a": ROWS}, "c", r"after '#', received 'c'. It has a \(B, 5\)"),
        ({}, "", "It has none"),
    ],
)
def test_what_cannot_be_told_is_asked(outputs: dict, asked: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        choose_output(outputs, asked, "keras:own.keras")


@pytest.mark.parametrize(
    ("shape", "dtype", "read"),
    [
        ((None, 32, 32, 3), "float32", PictureInput(32, "float32")),
        ((None, None, None, 3), "uint8", PictureInput(0, "uint8")),
        ((None, 32, None, 3), "float32", None),
        ((None, 32, 24, 3), "float32", None),
        ((None, 3, 32, 32), "float32", None),
        ((1, 32, 32, 3), "float32", None),
        ((None, 32, 32, 1), "float32", None),
        ((None, 7), "float32", None),
        ((None, 32, 32, 3), "string", None),
    ],
)
def test_what_takes_pictures(shape: tuple, dtype: str, read: PictureInput | None) -> None:
    assert read_input({"x": SimpleNamespace(shape=shape, dtype=dtype)}) == read
    assert read_input({"x": SimpleNamespace(shape=shape, dtype=dtype), "y": None}) is None
