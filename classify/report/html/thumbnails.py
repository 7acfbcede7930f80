"""Small pictures inside a page, as data URIs: within a budget of bytes, read by several threads."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np

from cache.manifest import Manifest
from extract.pictures.decoding import RejectedImage, decode
from extract.pictures.files import load_row, opened
from extract.settings import Decoding

SIDE = 112  # pixels
MOST, BUDGET = 300, 1_500_000  # pictures of one page, and bytes of their data URIs
QUALITY = 62  # of WebP, 0 to 100


def thumbnail(picture: bytes | Path | np.ndarray, side: int = SIDE) -> str:
    """Make the middle square of a picture small.

    Parameters
    ----------
    picture : bytes, Path or (s, s, 3) uint8 array
        A picture file's bytes, where one lies, or RGB pixels.
    side : int
        Pixels.

    Returns
    -------
    uri : str
        "data:image/webp;base64,..."; empty for what cannot be read, or is no picture.
    """
    try:
        if isinstance(picture, Path):
            with opened(picture) as contents:
                pixels = decode(contents.data, side, Decoding())
        else:
            pixels = decode(picture, side, Decoding()) if isinstance(picture, bytes) else picture
    except RejectedImage:
        return ""
    return _uri(pixels, side)


def of_rows(
    manifest: Manifest, rows: Sequence[int], side: int = SIDE, *, most: int = MOST, budget: int = BUDGET
) -> dict[int, str]:
    """Make thumbnails of pictures of a data set, which are read again.

    Parameters
    ----------
    manifest : Manifest
    rows : sequence of int
        The more important first: there is room for the first ones.
    side : int
        Pixels.
    most, budget : int
        So many pictures, and characters of their URIs, at most.

    Returns
    -------
    uris : dict
        Row -> data URI; without those of which the file is gone, is another one now, or came too late for the budget.
    """
    wanted = list(islice(dict.fromkeys(map(int, rows)), most))

    def read(row: int) -> str:
        try:
            return _uri(load_row(manifest, row, side, Decoding()), side)
        except RejectedImage:
            return ""

    return _within(zip(wanted, _each(read, wanted), strict=True), budget)


def _within(made: Iterable[tuple[int, str]], budget: int) -> dict[int, str]:
    kept = dict[int, str]()
    for row, uri in made:
        budget -= len(uri)
        if budget < 0:
            break
        if uri:
            kept[row] = uri
    return kept


def _each(read: Callable[[int], str], rows: Sequence[int]) -> list[str]:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(read, rows))


def _uri(pixels: np.ndarray, side: int) -> str:
    from PIL import Image, features

    image = Image.fromarray(pixels)
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    kind, out = "webp" if features.check("webp") else "jpeg", BytesIO()
    image.save(out, kind, quality=QUALITY)
    return f"data:image/{kind};base64,{b64encode(out.getvalue()).decode()}"
