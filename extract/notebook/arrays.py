"""`add_arrays`: pictures and labels in memory become a data set in a workspace, as if they had come as files."""

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cache.errors import UserError
from cache.storage.files import make_folder
from cache.workspace import Workspace
from extract.commands.extract import Summary, extract
from extract.machine import usable_cores
from extract.notebook.image_embedder import ImageEmbedder, settings
from extract.notebook.inputs import listed
from extract.sources.scan import SPLIT_NAMES
from extract.sources.source import previous_manifests
from extract.sources.unpacked import ARRAYS, FOLDER, TABLE, folder_for, from_arrays, once, remove

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
        Of the data set. Pictures that it held before, if they came from arrays too, are replaced in it, and their files
        are removed where no other data set is made of them.
    images : ndarray of shape (n, h, w), (n, h, w, 3) or (n, h, w, 4), or sequence of n arrays, dtype uint8
        RGB, 0..255.
    labels : array-like of shape (n,), str or int
        The class of each picture.
    split : array-like of shape (n,), str, optional
        "train", "val" or "test", named as folders may be ("validation", "testing"), or "" for none.
    embedder : ImageEmbedder, optional
        Names workspace, backbone and all other settings; it need not be fitted. Default: ``ImageEmbedder()``.

    Returns
    -------
    Summary
        As of the command `extract`: files = embedded + cached + rejected.

    Raises
    ------
    UserError
        If the arrays are no pictures, do not agree in length, or hold labels that are no text; if the name belongs to
        a data set that did not come from arrays; or where `extract` fails.
    """
    workspace, backbone, decoding, options = settings(embedder or ImageEmbedder())
    pictures = _arrays(images)
    table = _table(len(pictures), _texts(labels, len(pictures)), _splits(split, len(pictures)))
    if not isinstance(name, str) or not name:
        raise UserError(f"Expected a name for the data set, received {name!r}.")
    sources = workspace.create().root / FOLDER
    make_folder(sources)
    previous_manifests(workspace, name, sources)  # a name that belongs to another source is refused
    before = _place(workspace, name) if name in workspace.datasets() else None
    source = _write(workspace, name, pictures, table)
    summary = extract(workspace, source, backbone, decoding, options, name=name)
    # A data set may have been made of the files before under another name, too.
    if (
        before
        and from_arrays(before)
        and before not in {_place(workspace, each) for each in workspace.datasets()}
    ):
        remove(before)
    return summary


def _place(workspace: Workspace, name: str) -> Path:
    return Path(workspace.manifest(name).root).resolve()


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
    if array.shape != (count,):
        raise UserError(f"Expected a split for each of {count:,} pictures, received shape {array.shape}.")
    names = {"": "", **SPLIT_NAMES}
    given = [str(name) for name in array.tolist()]
    if odd := {name for name in given if name.lower() not in names}:
        known = ", ".join(map(repr, names))
        raise UserError(f"Expected each split to be one of {known}, received {min(odd)!r}.")
    return [names[name.lower()] for name in given]


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
    folder, of = folder_for(workspace, name, digest.hexdigest()), {ARRAYS: digest.hexdigest()}

    def fill(unfinished: Path) -> dict[str, Any]:
        for number in range(0, len(pictures), _A_FOLDER):
            make_folder((unfinished / _path(number)).parent)

        def write(number: int) -> None:
            picture = pictures[number]
            image = Image.fromarray(picture[:, :, 0] if picture.shape[2:] == (1,) else picture)
            image.save(unfinished / _path(number), compress_level=1)

        with ThreadPoolExecutor(usable_cores()) as pool:
            for _ in pool.map(write, range(len(pictures))):
                pass
        (unfinished / TABLE).write_bytes(table)
        return {"of": of}

    once(folder, lambda said: said.get("of") == of, fill)
    return folder / TABLE
