"""PNG files whose stream of pixels ends properly and too early, which no decoder complains of."""

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from extract.pictures.square import RejectedImage

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PASSES = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2))
_BLOCK = 2**16


def check_rows(image: Image.Image, data: bytes) -> None:
    """Refuse a picture of which rows are missing.

    Rows that no pixel was found for are all zero. Only where the last ones are is the file decompressed again, to
    count its bytes: interlaced pictures, and such as end in black or see-through.

    Parameters
    ----------
    image : Image
        Loaded from a PNG file.
    data : bytes
        The file.

    Raises
    ------
    RejectedImage
        If the pixels in the file are fewer than its header says.
    """
    width, height = image.size
    last = image.crop((0, height - 1, width, height))
    if "interlace" not in image.info and any(last.tobytes()):
        return
    header = next(_chunks(data, b"IHDR"))
    expected = _expected(header)
    found = _count(data, expected)
    if found < expected:
        raise RejectedImage(f"truncated: {found:,} bytes of pixels, expected {expected:,}")


def _expected(header: bytes) -> int:
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    total = 0
    for left, right, top, down in _PASSES if interlaced else ((0, 1, 0, 1),):
        across, rows = -(-(width - left) // right), -(-(height - top) // down)
        if across > 0 and rows > 0:
            total += rows * (1 + -(-across * depth * _CHANNELS[colour] // 8))
    return total


def _count(data: bytes, enough: int) -> int:
    stream, count = zlib.decompressobj(), 0
    try:
        for chunk in _chunks(data, b"IDAT"):
            while chunk and count < enough and not stream.eof:
                count += len(stream.decompress(chunk, _BLOCK))
                chunk = stream.unconsumed_tail
        return count if count >= enough else count + len(stream.flush())
    except (
        zlib.error
    ):  # a wrong checksum behind the last row: with rows missing the decoder would have complained
        return enough


def _chunks(data: bytes, wanted: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == wanted:
            yield data[at + 8 : at + 8 + length]
        at += 12 + length
