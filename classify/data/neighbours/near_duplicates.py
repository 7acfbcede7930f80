"""Pictures that are the same, or nearly: found by embeddings and coarse shapes, confirmed by their thumbnails.

Axes: n rows of the manifest, of them u with distinct bytes; D features; F = 63 frequencies; m pairs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from cache.storage.keys import as_items, unique
from cache.storage.rows import Rows
from cache.storage.store import Store
from cache.text import counted
from classify.data.groups import connect
from classify.data.neighbours.alignment import likeness
from classify.data.neighbours.approximate import EXACT
from classify.data.neighbours.indexed_pairs import of_most
from classify.data.neighbours.pairs import NEIGHBOURS, SIMILARITY, Centred, Embeddings, of_all
from classify.data.neighbours.shapes import FINE, SHAPES, differing, frequencies, orientations, oriented
from extract.machine import usable_cores

# Why these, and those of pairs and shapes: docs/decisions/0020-aligned-thumbnails.md.
LIKENESS = 0.9  # correlation of the fine detail of two copies
BITS = 10  # of 63 in which the perceptual hashes differ of two copies whose embeddings are alike
RULES = f"near copies 1: {SIMILARITY} {SHAPES} {LIKENESS} {BITS} {FINE} {NEIGHBOURS}"  # who keeps an answer, by them
_PAIRS = 1024  # laid over each other at a time


@dataclass(frozen=True)
class Groups:
    """Which rows show the same picture, and the pairs that say so."""

    group: NDArray[np.int32]  # (n,) number of each row's group, from 0; most rows are alone in theirs
    pairs: NDArray[np.intp]  # (m, 2) rows of the confirmed near copies, the smaller first
    likeness: NDArray[np.float32]  # (m,) of their thumbnails, laid over each other
    bits: NDArray[np.intp]  # (m,) in which their hashes differ
    identical: int  # rows whose bytes are those of an earlier row
    candidates: int  # pairs similar enough to be looked at
    unseen: int  # distinct pictures without a thumbnail: they are taken for different from all others
    dropped: int  # pairs similar enough, but with NEIGHBOURS more similar ones for each picture
    found: int = 0  # of the `sampled` pairs, if an index was asked: its recall
    sampled: int = 0  # pairs similar enough of a sample of pictures, each compared with all

    @property
    def notes(self) -> list[str]:
        """What a person should know, one line each."""
        notes, sizes = [], np.bincount(self.group)
        grouped = sizes[sizes > 1]
        if len(grouped):
            notes.append(
                f"{grouped.sum():,} pictures are copies or near copies of one another, in "
                f"{counted(len(grouped), 'group')}: each group stays on one side of every split"
            )
        if self.unseen:
            notes.append(
                counted(
                    self.unseen,
                    "picture was not compared with others, to find near copies: an earlier version embedded it, and "
                    "its file is gone or changed. Put it back and run extract again",
                    "pictures were not compared with others, to find near copies: an earlier version embedded them, "
                    "and their files are gone or changed. Put them back and run extract again",
                )
            )
        if self.dropped:
            notes.append(
                f"{self.dropped:,} further pairs look alike and were not compared: only the {NEIGHBOURS} most similar "
                "ones of a picture are"
            )
        if self.sampled:
            notes.append(
                f"near copies were looked for by an index: of {self.sampled:,} pairs that look alike, of a sample of "
                f"pictures compared with all, it names {self.found / self.sampled:.1%}"
            )
        return notes


def groups(
    keys: NDArray[np.uint8],
    X: NDArray[np.float32] | Embeddings,
    thumbnails: Store,
    *,
    threshold: float = LIKENESS,
    block: int = 2048,
    exact: int = EXACT,
) -> Groups:
    """Group the rows that show the same picture: the same bytes, or a near copy.

    Near copies are re-encoded, resized, a little cropped or turned, brightened, grey, mirrored, upside down or on
    their side. Candidates are the pairs of distinct pictures whose embeddings, less the mean of all, or whose
    coarse shapes are alike. Up to `exact` pictures all are compared with all: u * u * (D + 8 * F) multiplications in
    blocks, memory for block * (D + 3 * block) numbers beside X. Of more an index finds most of the pairs, if faiss
    is there. Then one thumbnail is laid over the other, and their fine detail decides; where embeddings
    are alike, equal perceptual hashes are enough. No file is read: the answer depends on the cache alone. What a
    chain of copies connects is one group.

    Parameters
    ----------
    keys : (n, 32) uint8
    X : (n, D) float32, or what such rows are taken from
        Embeddings, all in one space.
    thumbnails : Store
        As of `extract.embedding.thumbnails.thumbnails_of`.
    threshold : float
        The least likeness of copies, between -1 and 1.
    block : int
        Rows multiplied at a time.
    exact : int
    """
    _, first, inverse = unique(as_items(keys))
    distinct = np.sort(first)
    known = thumbnails.contains(keys[distinct])
    rows = distinct[known]
    frequency, fine = frequencies(keys[rows], np.ones(len(rows), bool), thumbnails, block)
    directions = Centred(X, rows, block)
    shapes = frequency * fine[:, None, None]
    if len(rows) > exact and find_spec("faiss") is not None:
        pairs = of_most(directions, shapes, block)
    else:
        pairs = of_all(directions, shapes, block)
    places = pairs.places
    like = np.zeros(len(places), np.float32)
    detailed = fine[places].all(axis=1)
    like[detailed] = _compared(keys[rows], frequency, places[detailed], thumbnails)
    bits = differing(frequency, places)
    same, close = like >= threshold, np.flatnonzero((bits <= BITS) & (like < threshold))
    same[close] = directions.cosines(places[close], block) >= SIMILARITY
    copies = rows[places[same]]
    edges = np.concatenate([np.stack([np.arange(len(keys)), first[inverse]]), copies.T], axis=1)
    return Groups(
        group=connect(len(keys), edges),
        pairs=copies,
        likeness=like[same],
        bits=bits[same],
        identical=len(keys) - len(first),
        candidates=len(places),
        unseen=int((~known).sum()),
        dropped=pairs.dropped,
        found=pairs.found,
        sampled=pairs.sampled,
    )


def _compared(
    keys: NDArray[np.uint8], frequency: NDArray[np.float32], places: NDArray[np.intp], thumbnails: Store
) -> NDArray[np.float32]:
    """Lay the pairs at these places (m, 2) over each other, the first as its shapes say: likeness (m,)."""
    if not len(places):
        return np.zeros(0, np.float32)
    needed, at = np.unique(places, return_inverse=True)
    at, kept = at.reshape(places.shape), Rows(thumbnails, keys[needed])

    def laid(start: int) -> NDArray[np.float32]:
        some, asked = places[start : start + _PAIRS], at[start : start + _PAIRS]
        mine, (a, b) = np.unique(asked), asked.T
        luma, a, b = kept.take(mine), np.searchsorted(mine, a), np.searchsorted(mine, b)
        other = frequency[some[:, 1]]
        alike = [(turned * other).sum(axis=(1, 2)) for turned in orientations(frequency[some[:, 0]])]
        turned = np.stack([oriented(luma[i], o) for i, o in zip(a, np.argmax(alike, axis=0), strict=True)])
        return likeness(turned, luma[b])

    with ThreadPoolExecutor(usable_cores()) as pool:
        return np.concatenate(list(pool.map(laid, range(0, len(places), _PAIRS))))
