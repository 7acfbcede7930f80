"""All pictures of a map, small, on one sheet: a data URI within a budget."""

from __future__ import annotations

import math
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cache.dataset import Embedded
from cache.workspace import Workspace
from extract.embedding.spaces import largest
from extract.embedding.thumbnails import thumbnails_of
from extract.machine import usable_cores
from extract.pictures.decoding import RejectedImage
from extract.pictures.files import load_row
from extract.settings import Decoding

BUDGET = 2_550_000  # bytes of the sheet; a third more as a data URI
SIDES = (96, 80, 64, 56, 48, 40, 32)  # pixels, the largest that fits
MOST = 12_000  # pictures; of more, none would be large enough to be made out
_A_PIXEL = 0.2  # bytes; of photographs
_QUALITIES = (40, 20, 5)  # of WebP: the first that fits


@dataclass(frozen=True)
class Sheet:
    """n pictures, row by row."""

    uri: str
    side: int  # pixels of each
    columns: int
    grey: int  # pictures whose file is gone or changed: the thumbnail in the cache stands for it
    missing: int  # those without one, too: a blank


def sheet_of(workspace: Workspace, data: Embedded) -> Sheet | None:
    """Make the sheet of all rows of a data set; None where they are too many."""
    n = len(data.manifest)
    if n > MOST:
        return None
    side = next((side for side in SIDES if n * side * side * _A_PIXEL <= BUDGET), SIDES[-1])
    pictures, read = _read(workspace, data, side)
    absent = np.flatnonzero(~read)
    stored = thumbnails_of(workspace, data.space)
    there = absent[stored.contains(data.manifest.key[absent])]
    for row, luma in zip(there, stored.gather(data.manifest.key[there]), strict=True):
        small = Image.fromarray(luma.astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        pictures[row] = np.asarray(small)[..., None]
    columns = math.ceil(math.sqrt(n))
    image = Image.fromarray(_tiled(pictures, columns))
    for quality in _QUALITIES:
        out = BytesIO()
        image.save(out, "webp", quality=quality, method=2)
        if out.tell() <= BUDGET:
            break
    uri = f"data:image/webp;base64,{b64encode(out.getvalue()).decode('ascii')}"
    return Sheet(uri, side, columns, len(there), len(absent) - len(there))


def _read(workspace: Workspace, data: Embedded, side: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Decode the files: (n, side, side, 3) RGB, and which could be read (n,); others are of one grey."""
    manifest, decoding = data.manifest, Decoding(data.space.resize, largest(workspace, data.space))
    pictures = np.full((len(manifest), side, side, 3), 208, np.uint8)

    def look(row: int) -> bool:
        try:
            pictures[row] = load_row(manifest, row, side, decoding)
        except RejectedImage:
            return False
        return True

    with ThreadPoolExecutor(usable_cores()) as pool:
        return pictures, np.fromiter(pool.map(look, range(len(manifest))), bool, len(manifest))


def _tiled(pictures: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """(n, s, s, 3) to one picture (rows * s, columns * s, 3)."""
    n, side = pictures.shape[:2]
    rows = -(-n // columns)
    tiles = np.full((rows * columns, side, side, 3), 208, np.uint8)
    tiles[:n] = pictures
    return tiles.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)
