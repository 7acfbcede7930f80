"""PNG files with fewer pixels than they promise, as no encoder writes them."""

import struct
import zlib

import numpy as np
import pytest

from extract.pictures.decoding import decode
from extract.pictures.square import RejectedImage
from extract.settings import Decoding
from tests.extract.sample_pictures import png

# Colour type, depth and bytes of a row of 9 pixels, its filter included.
KINDS = [(0, 1, 3), (0, 16, 19), (2, 8, 28), (3, 4, 6), (4, 8, 19), (6, 16, 73)]


def file(colour: int, depth: int, pixels: bytes) -> bytes:
    palette = [(b"PLTE", bytes(range(48)))] if colour == 3 else []
    return png(9, 7, *palette, (b"IDAT", zlib.compress(pixels)), colour=colour, depth=depth)


@pytest.mark.parametrize(("colour", "depth", "row"), KINDS)
@pytest.mark.parametrize("fill", [b"\0", b"\1"])
def test_whole_ones_decode_and_short_ones_do_not(colour: int, depth: int, row: int, fill: bytes) -> None:
    pixels = (b"\0" + fill * (row - 1)) * 7
    assert decode(file(colour, depth, pixels), 9, Decoding()).shape == (9, 9, 3)
    for missing in (1, row, 3 * row):
        with pytest.raises(RejectedImage, match="truncated"):
            decode(file(colour, depth, pixels[:-missing]), 9, Decoding())


def test_interlaced_ones_are_counted_by_their_passes() -> None:
    passes = [(2, 1), (1, 1), (3, 1), (2, 2), (5, 2), (4, 4), (9, 3)]  # of 9 x 7 pixels: columns and rows
    pixels = b"".join((b"\0" + b"\x50" * columns) * rows for columns, rows in passes)

    def interlaced(pixels: bytes) -> bytes:
        data = bytearray(png(9, 7, (b"IDAT", zlib.compress(pixels)), colour=0))
        data[28] = 1
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        return bytes(data)

    np.testing.assert_array_equal(decode(interlaced(pixels), 7, Decoding()), 0x50)
    for missing in (1, 10, 40):
        with pytest.raises(RejectedImage, match="truncated"):
            decode(interlaced(pixels[:-missing]), 7, Decoding())
