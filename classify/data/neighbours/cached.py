"""The neighbours of all pictures of a data set, found once and kept beside its space."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from cache.storage.files import make_folder
from cache.storage.hdf5 import UNREADABLE, read_arrays, write_arrays
from cache.storage.keys import as_items, unique
from classify.data.neighbours.directions import Spans
from classify.data.neighbours.search import BLOCK, Neighbours, among

NEIGHBOURS = 50  # of each picture
FORMAT = 1
_KEPT = 8  # files of a space: of data sets that have changed since, none is asked for again


def neighbours_of(data: Embedded, say: Callable[[str], None] = lambda text: None) -> Neighbours:
    """Return the 50 pictures most like each picture of a data set, or all others where there are fewer.

    By the cosine of their rows less the mean, each part of each network brought to the same length. Identical files
    are one picture: none is a neighbour of another, all have the same neighbours, and a neighbour is named by its
    first row. The answer is kept beside the first space, by a hash of spaces, keys and rows: it stays whatever the
    names, the order and the labels of the files, and another row makes another.

    Parameters
    ----------
    data : Embedded
        n rows, of them u with distinct bytes.
    say : callable
        Told what takes long.

    Returns
    -------
    Neighbours
        (n, k) rows of `data.manifest`, k = min(50, u - 1).
    """
    rows, spans = data.embedding, [(block.start, block.stop) for block in data.blocks]
    _, first, inverse = unique(as_items(data.manifest.key))
    path = data.store.folder / "neighbours" / f"{_name(data, rows, first)}.h5"
    found = _load(path, len(first))
    if found is None:
        found = _search(rows, spans, first, say)
        _keep(path, found)
    index = first.astype(np.int32)[found.index][inverse]
    return Neighbours(index, found.similarity[inverse], found.recall)


def _search(
    rows: NDArray[np.float32], spans: Spans, first: NDArray[np.intp], say: Callable[[str], None]
) -> Neighbours:
    return among(rows, NEIGHBOURS, spans, first)


def _name(data: Embedded, rows: NDArray[np.float32], first: NDArray[np.intp]) -> str:
    """Hash the spaces, and keys and rows in the order of the keys: 64 hex digits."""
    spaces = " ".join(space.id for space in data.spaces)
    digest = sha256(f"neighbours {FORMAT} {NEIGHBOURS} {spaces}\n".encode())
    for start in range(0, len(first), BLOCK):
        some = first[start : start + BLOCK]
        digest.update(data.manifest.key[some].data)
        digest.update(rows[some].data)
    return digest.hexdigest()


def _load(path: Path, n: int) -> Neighbours | None:
    """Read what was found before; None where there is nothing, or damage."""
    try:
        arrays, sealed = read_arrays(path, FORMAT, "delete it: it is found again.")
        index, similarity, recall = arrays["index"], arrays["similarity"], arrays["recall"]
        shape = (n, min(NEIGHBOURS, max(0, n - 1)))
        if sealed and index.shape == shape == similarity.shape:
            return Neighbours(index, similarity, float(recall[0]))
    except (FileNotFoundError, *UNREADABLE):
        pass
    return None


def _keep(path: Path, found: Neighbours) -> None:
    """Write one file, and delete the oldest where there are too many."""
    make_folder(path.parent)
    recall = np.array([found.recall], np.float32)
    write_arrays(path, FORMAT, {"index": found.index, "similarity": found.similarity, "recall": recall})
    files = sorted(path.parent.glob("[!.]*.h5"), key=_age, reverse=True)
    for old in files[_KEPT:]:
        old.unlink(missing_ok=True)


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # deleted by another process
        return 0
