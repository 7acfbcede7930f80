"""The neighbours of all pictures of a data set, found once and kept beside its space."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from cache.storage.keys import as_items, unique
from classify.data.neighbours.approximate import EXACT, approximate
from classify.data.neighbours.directions import Spans
from classify.data.neighbours.kept import keep, place, recall
from classify.data.neighbours.search import BLOCK, Neighbours, among

NEIGHBOURS = 50  # of each picture


def neighbours_of(
    data: Embedded, say: Callable[[str], None] = lambda text: None, exact: int = EXACT
) -> Neighbours:
    """Return the 50 pictures most like each picture of a data set, or all others where there are fewer.

    By the cosine of their rows less the mean, a mean of those of the parts of each network (`Directions`). Identical
    files are one picture: none is a neighbour of another, all have the same neighbours, and a neighbour is named by
    its first row. The answer is kept beside the first space, by a hash of spaces, keys and rows: it stays whatever the
    names, the order and the labels of the files, and another row makes another.

    Parameters
    ----------
    data : Embedded
        n rows, of them u with distinct bytes.
    say : callable
        Told what takes long.
    exact : int
        Of more pictures an index finds nearly all, with the extra `index`; `Neighbours.notes` says how many.

    Returns
    -------
    Neighbours
        (n, k) rows of `data.manifest`, k = min(50, u - 1).
    """
    rows, spans = data.embedding, [(block.start, block.stop) for block in data.blocks]
    _, first, inverse = unique(as_items(data.manifest.key))
    path = place(data.store, "nearest", _digest(data, rows, first))
    found = _known(path, len(first))
    if found is None:
        found = _search(rows, spans, first, say, exact)
        measured = np.array([found.recall], np.float32)
        keep(path, {"index": found.index, "similarity": found.similarity, "recall": measured})
    index = first.astype(np.int32)[found.index][inverse]
    return Neighbours(index, found.similarity[inverse], found.recall)


def _search(
    rows: NDArray[np.float32], spans: Spans, first: NDArray[np.intp], say: Callable[[str], None], exact: int
) -> Neighbours:
    if len(first) <= exact:
        return among(rows, NEIGHBOURS, spans, first)
    if find_spec("faiss") is not None:
        say(f"an index of {len(first):,} pictures is made, once")
        return approximate(rows, NEIGHBOURS, spans, first, say)
    say(
        f"the neighbours of {len(first):,} pictures are looked for one by one, once: minutes. `pip install "
        "'coldframe[index]'` finds nearly all of them several times as fast"
    )
    return among(rows, NEIGHBOURS, spans, first)


def _known(path: Path, n: int) -> Neighbours | None:
    """Read what was found before of n pictures; None where that is nothing."""
    kept, shape = recall(path), (n, min(NEIGHBOURS, max(0, n - 1)))
    if kept is None or not shape == kept["index"].shape == kept["similarity"].shape:
        return None
    return Neighbours(kept["index"], kept["similarity"], float(kept["recall"][0]))


def _digest(data: Embedded, rows: NDArray[np.float32], first: NDArray[np.intp]) -> str:
    """Hash the spaces, and keys and rows in the order of the keys: 64 hex digits."""
    spaces = " ".join(space.id for space in data.spaces)
    digest = sha256(f"{NEIGHBOURS} nearest, {spaces}\n".encode())
    for start in range(0, len(first), BLOCK):
        some = first[start : start + BLOCK]
        digest.update(data.manifest.key[some].data)
        digest.update(rows[some].data)
    return digest.hexdigest()
