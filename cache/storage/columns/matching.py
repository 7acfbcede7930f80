"""Which texts two columns share, by hashes of their bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Column = tuple[NDArray[np.uint8], NDArray[np.int64]]  # bytes, and where each text begins in them

_BYTES = 2**18  # hashed at a time


def find(held: Column, asked: Column) -> NDArray[np.intp] | None:
    """Find the place in `held` of each text of `asked` that hashes alike: (k,), -1 for none.

    None where two of `held` hash alike. Whether texts with one hash are one is left to the caller.
    """
    width = max(int(np.diff(offset).max(initial=0)) for _, offset in (held, asked))
    weights = np.random.default_rng(0).integers(2**64, size=width + 1, dtype=np.uint64)
    mine, theirs = hashes(held, weights), hashes(asked, weights)
    order = np.argsort(mine)
    mine = mine[order]
    if (mine[1:] == mine[:-1]).any():
        return None
    if not len(mine):
        return np.full(len(theirs), -1, np.intp)
    turn = np.argsort(theirs)  # looked up in order, a table is read from front to back
    at = np.minimum(np.searchsorted(mine, theirs[turn]), len(mine) - 1)
    found = np.empty(len(theirs), np.intp)
    found[turn] = np.where(mine[at] == theirs[turn], order[at], -1)
    return found


def hashes(column: Column, weights: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash each text: the sum of its bytes, each times the weight of its place (Carter and Wegman 1979).

    weights : (w + 1,) random, w the length of the longest text.
    """
    blob, offset = column
    length = np.diff(offset)
    found, start = np.zeros(len(length), np.uint64), 0
    while start < len(length):
        stop = max(start + 1, int(np.searchsorted(offset, offset[start] + _BYTES, "right")) - 1)
        begins, mine = offset[start:stop] - offset[start], length[start:stop]
        place = np.arange(offset[stop] - offset[start]) - np.repeat(begins, mine)
        value = np.append((blob[offset[start] : offset[stop]] + np.uint64(1)) * weights[place], np.uint64(0))
        found[start:stop] = np.where(mine > 0, np.add.reduceat(value, begins), 0)
        start = stop
    return found
