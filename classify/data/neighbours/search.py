"""The exact search for the most similar rows, in blocks.

Axes: n rows searched; m rows asked for; D features; k neighbours of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classify.data.neighbours.directions import Directions, Spans

BLOCK = 2048  # rows multiplied by as many at a time
RECALL = 0.95  # share of the true neighbours that is to be found
SAMPLE = 1_000  # rows on which it is measured, of a search that misses some


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The most similar rows of each row, the most similar first; equal ones in order."""

    index: NDArray[np.int32]  # (n, k) rows
    similarity: NDArray[np.float32]  # (n, k) cosine, -1 to 1
    recall: float = 1.0  # share of the true ones that is among them: 1, or as measured on a sample

    @property
    def notes(self) -> list[str]:
        """What a person should know, one line each."""
        if self.recall == 1:
            return []
        told = (
            f"neighbours by an index: {self.recall:.1%} of the true ones, on a sample of {SAMPLE:,} pictures"
        )
        return [told if self.recall >= RECALL else f"{told}; to find more would take too long"]


def among(
    rows: NDArray[np.float32],
    k: int,
    spans: Spans = (),
    picked: NDArray[np.intp] | None = None,
    block: int = BLOCK,
) -> Neighbours:
    """Find the k most similar others of each row, or all others where there are fewer.

    n * n * D / 2 multiplications; memory for 2 * block * (block + D) numbers beside the rows and the answer.

    Parameters
    ----------
    rows : (n, D) float32
    k : int
    spans : sequence of (int, int), optional
        Columns of the parts of a row, such as those of `Embedded.blocks`; not given: it is one part.
    picked : (n,) int, optional
        These are the rows meant; the answer names them by their place here.
    block : int
    """
    picked = np.arange(len(rows)) if picked is None else picked
    n = len(picked)
    directions, best = Directions.around(rows, picked, spans), Best(n, min(k, max(0, n - 1)))
    for start in range(0, n, block) if n > 1 else ():
        mine = directions.of(rows[picked[start : start + block]])
        for other in range(start, n, block):
            theirs = mine if other == start else directions.of(rows[picked[other : other + block]])
            cosine = mine @ theirs.T
            if other == start:
                np.fill_diagonal(cosine, -np.inf)
            best.offer(start, other, cosine)
            if other != start:
                best.offer(other, start, cosine.T)
    return best.ordered()


def nearest(
    rows: NDArray[np.float32],
    asked: NDArray[np.float32],
    k: int,
    spans: Spans = (),
    picked: NDArray[np.intp] | None = None,
    block: int = BLOCK,
) -> Neighbours:
    """Find the k rows that are most similar to each of other rows: (m, k) for `asked` (m, D).

    The mean is that of `rows` (n, D), so that the answer for one row does not depend on what else is asked. Otherwise
    as `among`.
    """
    picked = np.arange(len(rows)) if picked is None else picked
    directions, best = Directions.around(rows, picked, spans), Best(len(asked), min(k, len(picked)))
    for other in range(0, len(picked), block) if len(asked) else ():
        theirs = directions.of(rows[picked[other : other + block]])
        for start in range(0, len(asked), block):
            best.offer(start, other, directions.of(asked[start : start + block]) @ theirs.T)
    return best.ordered()


class Best:
    """The best k seen so far of each of n rows."""

    def __init__(self, n: int, k: int) -> None:
        self._index = np.full((n, k), -1, np.int32)
        self._similarity = np.full((n, k), -np.inf, np.float32)

    def offer(self, start: int, first: int, cosine: NDArray[np.float32]) -> None:
        """See (b, c) cosines of the rows from `start` on with those from `first` on."""
        mine, k = slice(start, start + len(cosine)), self._index.shape[1]
        index, similarity = self._index[mine], self._similarity[mine]
        least = similarity.min(axis=1, keepdims=True, initial=np.inf)
        if np.isneginf(least).any():  # at first everything is better
            place = np.broadcast_to(np.arange(first, first + cosine.shape[1], dtype=np.int32), cosine.shape)
        else:
            place, cosine = _better(cosine, least, first)
        places = np.concatenate([index, place], axis=1)
        cosines = np.concatenate([similarity, cosine], axis=1)
        kept = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        self._index[mine] = np.take_along_axis(places, kept, axis=1)
        self._similarity[mine] = np.take_along_axis(cosines, kept, axis=1)

    def ordered(self) -> Neighbours:
        """Return them, the best first, equal ones in order."""
        order = np.lexsort((self._index, -self._similarity), axis=1)
        index = np.take_along_axis(self._index, order, axis=1)
        return Neighbours(index, np.clip(np.take_along_axis(self._similarity, order, axis=1), -1, 1))


def _better(
    cosine: NDArray[np.float32], least: NDArray[np.float32], first: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Move what is above `least` (b, 1) to the left: places and cosines (b, w), -inf where a row has no more.

    A table that is turned is looked through as it lies in memory: copying it would take longer than all else here.
    """
    at = np.flatnonzero((cosine > least).ravel(order="K"))
    if cosine.flags.c_contiguous:
        row, column = np.divmod(at, cosine.shape[1])
    else:
        column, row = np.divmod(at, len(cosine))
        order = np.argsort(row, kind="stable")
        row, column = row[order], column[order]
    count = np.bincount(row, minlength=len(cosine))
    at = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    place = np.full((len(cosine), count.max(initial=0)), -1, np.int32)
    better = np.full(place.shape, -np.inf, np.float32)
    place[row, at], better[row, at] = column + first, cosine[row, column]
    return place, better
