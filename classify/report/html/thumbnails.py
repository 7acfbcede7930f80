"""Small pictures inside a page, as data URIs: within a budget of bytes, read by several threads."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import accumulate, islice
from pathlib import Path

import numpy as np

from cache.manifest import Manifest
from extract.pictures.decoding import RejectedImage, decode
from extract.pictures.files import load, opened
from extract.pictures.memory import MIB
from extract.settings import Decoding
from extract.sources.places.place import join, stat_at

SIDE = 112  # pixels
MOST, BUDGET = 300, 1_500_000  # pictures of one page, and bytes of their data URIs
READ = 256 * MIB  # bytes of their files: a hundred large photographs
QUALITY = 65  # of JPEG, which is ten times as fast as WebP and a quarter larger
THREADS = 8


def thumbnail(picture: bytes | str | Path | np.ndarray, side: int = SIDE) -> str:
    """Make the middle square of a picture small.

    Parameters
    ----------
    picture : bytes, str, Path or (s, s, 3) uint8 array
        A picture file's bytes, where one lies, or RGB pixels.
    side : int
        Pixels.

    Returns
    -------
    uri : str
        "data:image/jpeg;base64,..."; empty for what cannot be read, or is no picture.
    """
    try:
        if isinstance(picture, str | Path):
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
    """Make thumbnails of pictures of a data set by the rows of its manifest; else as `of_files`."""
    paths = [manifest.paths[row] for row in rows]
    keys = {path: manifest.key[row].tobytes() for path, row in zip(paths, rows, strict=True)}
    made = of_files(manifest.root, paths, keys, side, most=most, budget=budget)
    return {row: made[path] for row, path in zip(rows, paths, strict=True) if path in made}


def of_files(
    root: str | os.PathLike[str],
    paths: Iterable[str],
    keys: Mapping[str, bytes],
    side: int = SIDE,
    *,
    most: int = MOST,
    budget: int = BUDGET,
) -> dict[str, str]:
    """Make thumbnails of picture files, which are read by several threads.

    Parameters
    ----------
    root : str
    paths : iterable of str
        Relative to `root`, the more important first: there is room for the first ones.
    keys : mapping
        Path -> the image key that a file is known by, 32 bytes, where there is one.
    side : int
        Pixels.
    most, budget : int
        So many pictures, and characters of their URIs, at most. Nor are more than `READ` bytes of files read, so that
        nobody waits: a limit in seconds would make another page each time.

    Returns
    -------
    uris : dict
        Path -> data URI, in the order of `paths`: empty where the file is gone, is no picture, or is another one now;
        those that came too late for the budget are not in it.
    """
    wanted = list(islice(dict.fromkeys(paths), most))
    read_so_far = accumulate((stat_at(join(root, path)) or (0, 0))[0] for path in wanted)
    wanted = [path for path, size in zip(wanted, read_so_far, strict=True) if size <= READ]

    def read(path: str) -> str:
        try:
            if path in keys:
                return _uri(load(root, path, keys[path], side, Decoding()), side)
        except RejectedImage:
            return ""
        return thumbnail(join(root, path), side)

    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        made = list(pool.map(read, wanted))
    sizes = accumulate(map(len, made))
    return {path: uri for path, uri, size in zip(wanted, made, sizes, strict=True) if size <= budget}


def _uri(pixels: np.ndarray, side: int) -> str:
    from PIL import Image

    image, out = Image.fromarray(pixels), BytesIO()
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    image.save(out, "jpeg", quality=QUALITY)
    return f"data:image/jpeg;base64,{b64encode(out.getvalue()).decode()}"
