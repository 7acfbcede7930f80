"""`add_arrays`: pictures and labels in memory become a data set in a workspace, as if they had come as files."""

import csv
import hashlib
import io
import os
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from cache.errors import UserError
from cache.files import make_folder, sync_folder, write_error
from cache.manifest import SPLITS
from cache.workspace import Workspace
from extract.engines import usable_cores
from extract.extraction import Summary, extract
from extract.given import listed
from extract.image_embedder import ImageEmbedder, settings
from extract.sources import FOLDER

_UNFIT = re.compile("[\\x00-\\x1f\\x7f\\ud800-\\udfff]")  # for a line of text
_A_FOLDER = 10_000  # files; more make some file systems slow


def add_arrays(
    name: str,
    images: Any,
    labels: Any,
    *,
    split: Any = None,
    embedder: ImageEmbedder | None = None,
) -> Summary:
    """Make a data set of pictures and labels in memory, and embed it.

    The pictures are written once, without loss, to `sources/` in the workspace, with a table of their labels; from
    there on they are files like any others. So every command works on them. The data set becomes the current one.

    Parameters
    ----------
    name : str
        Of the data set. Pictures that it held before, if they came from arrays too, are replaced in it.
    images : ndarray of shape (n, h, w), (n, h, w, 3) or (n, h, w, 4), or sequence of n arrays, dtype uint8
        RGB, 0..255.
    labels : array-like of shape (n,), str or int
        The class of each picture.
    split : array-like of shape (n,), str, optional
        "train", "val" or "test", or "" for none.
    embedder : ImageEmbedder, optional
        Names workspace, backbone and all other settings; it need not be fitted. Default: ``ImageEmbedder()``.

    Returns
    -------
    Summary
        As of the command `extract`: files = embedded + cached + rejected.

    Raises
    ------
    UserError
        If the arrays are no pictures, do not agree in length, or hold labels that are no text; or where
        `extract` fails.
    """
    workspace, backbone, decoding, options = settings(embedder or ImageEmbedder())
    pictures = _arrays(images)
    table = _table(len(pictures), _texts(labels, len(pictures)), _splits(split, len(pictures)))
    if not isinstance(name, str) or not name:
        raise UserError(f"Expected a name for the data set, received {name!r}.")
    source = _write(workspace, name, pictures, table)
    if name in workspace.datasets():
        before = Path(workspace.manifest(name).root)
        if before != source.parent and before.parent == source.parent.parent:
            workspace.forget_manifest(name)
    return extract(workspace, source, backbone, decoding, options, name=name)


def _arrays(images: Any) -> list[np.ndarray]:
    pictures = listed(images)
    for number, picture in enumerate(pictures):
        if not isinstance(picture, np.ndarray):
            raise UserError(
                f"Expected uint8 arrays, received a {type(picture).__name__} for picture {number} (counted from 0). "
                "For files use the command `extract` with a folder or a table of them."
            )
    return [p for p in pictures if isinstance(p, np.ndarray)]


def _texts(labels: Any, count: int) -> list[str]:
    array = np.asarray(labels)
    if array.shape != (count,):
        advice = ""
        if array.shape == (count, 1):
            advice = " Pass labels.ravel()."
        elif array.ndim == 2 and len(array) == count:
            advice = " For one column a class pass labels.argmax(axis=1)."
        raise UserError(
            f"Expected a label for each of {count:,} pictures, shape ({count},), received {array.shape}.{advice}"
        )
    texts = array.tolist()
    for number, text in enumerate(texts):
        fine = isinstance(text, str) and text.strip() == text != "" and not _UNFIT.search(text)
        if not fine and (not isinstance(text, int) or isinstance(text, bool)):
            raise UserError(
                f"Expected labels that are integers or text without blanks around it, received {text!r} for picture "
                f"{number} (counted from 0)."
            )
    return [str(text) for text in texts]


def _splits(split: Any, count: int) -> list[str]:
    if split is None:
        return [""] * count
    array = np.asarray(split)
    known = ", ".join(repr(name) for name in SPLITS)
    if array.shape != (count,):
        raise UserError(f"Expected a split for each of {count:,} pictures, received shape {array.shape}.")
    if odd := set(array.tolist()) - set(SPLITS):
        raise UserError(f"Expected each split to be one of {known}, received {sorted(map(repr, odd))[0]}.")
    return array.tolist()


def _table(count: int, labels: Sequence[str], splits: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["path", "label", "split"])
    table.writerows(zip(map(_path, range(count)), labels, splits, strict=True))
    return text.getvalue().encode()


def _path(number: int) -> str:
    return f"{number // _A_FOLDER:04d}/{number:08d}.png"


def _write(workspace: Workspace, name: str, pictures: Sequence[np.ndarray], table: bytes) -> Path:
    """Write pictures and table to a folder named after the hash of both, unless it is there.

    Returns
    -------
    Path
        The table's.
    """
    digest = hashlib.sha256(table)
    for picture in pictures:
        digest.update(f"{picture.shape}".encode())
        digest.update(np.ascontiguousarray(picture).data)
    folder = workspace.create().root / FOLDER / f"{quote(name, safe=' ')}-{digest.hexdigest()[:12]}"
    source = folder / "labels.csv"
    if source.exists():
        return source
    # Under its name it is whole or not there at all, like everything in a workspace.
    unfinished = folder.with_name(f".tmp-{os.urandom(8).hex()}")
    try:
        for number in range(0, len(pictures), _A_FOLDER):
            make_folder((unfinished / _path(number)).parent)

        def write(number: int) -> None:
            picture = pictures[number]
            image = Image.fromarray(picture[:, :, 0] if picture.shape[2:] == (1,) else picture)
            image.save(unfinished / _path(number), compress_level=1)

        with ThreadPoolExecutor(usable_cores()) as pool:
            for _ in pool.map(write, range(len(pictures))):
                pass
        (unfinished / "labels.csv").write_bytes(table)
        if hasattr(os, "sync"):  # one for all files: one each would take longer than writing them
            os.sync()
        unfinished.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        if not source.exists():  # else another process was faster
            raise write_error(folder, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return source
