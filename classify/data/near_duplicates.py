"""Pictures that are the same, or nearly: found by their embeddings, confirmed by their thumbnails.

Axes: n rows of the manifest, of them u with distinct bytes; D features; m pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cache.storage.keys import as_items, unique
from cache.storage.store import Store
from cache.text import counted
from classify.data.groups import connect

# Why these: docs/decisions/0006-near-duplicates.md.
SIMILARITY = 0.8  # cosine of centred embeddings from which on a pair is looked at
BITS = 10  # of 64 in which the hashes of two copies may differ
NEIGHBOURS = 32  # pairs looked at for one picture: where all pictures look alike there would be n * n
_FREQUENCIES = 8


@dataclass(frozen=True)
class Groups:
    """Which rows show the same picture, and the pairs that say so."""

    group: NDArray[np.int32]  # (n,) number of each row's group, from 0; most rows are alone in theirs
    pairs: NDArray[np.intp]  # (m, 2) rows of the confirmed near copies, the smaller first
    similarity: NDArray[np.float32]  # (m,) cosine of their centred embeddings
    bits: NDArray[np.uint8]  # (m,) bits in which their hashes differ
    identical: int  # rows whose bytes are those of an earlier row
    candidates: int  # pairs similar enough to be looked at
    unseen: int  # distinct pictures without a thumbnail: they are taken for different from all others
    dropped: int  # pairs similar enough, but with NEIGHBOURS more similar ones for each picture

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
        return notes


def groups(
    keys: NDArray[np.uint8],
    X: NDArray[np.float32],
    thumbnails: Store,
    *,
    threshold: float = SIMILARITY,
    bits: int = BITS,
    block: int = 2048,
) -> Groups:
    """Group the rows that show the same picture: the same bytes, or a near copy.

    Near copies are re-encoded, resized, slightly cropped, brightened, recoloured or mirrored. Candidates are
    the pairs of distinct pictures whose embeddings, less the mean of all, have a cosine of at least
    `threshold`; u * u * D multiplications in blocks, memory for block * (D + block) numbers beside X. Then
    the perceptual hashes of their thumbnails decide. No file is read: the answer depends on the cache alone. What
    a chain of copies connects is one group.

    Parameters
    ----------
    keys : (n, 32) uint8
    X : (n, D) float32
        Embeddings, all in one space.
    thumbnails : Store
        As of `extract.embedding.thumbnails.thumbnails_of`.
    threshold : float
        Between -1 and 1.
    bits : int
        The most in which hashes of copies differ, of 64.
    block : int
        Rows multiplied at a time.
    """
    _, first, inverse = unique(as_items(keys))
    rows = np.sort(first)
    pairs, similarity, dropped = _candidates(X, rows, threshold, block)
    asked, at = np.unique(pairs, return_inverse=True)
    seen = thumbnails.contains(keys[rows])
    plain, mirrored, known = _hashes(keys[asked], thumbnails)
    a, b = at.reshape(pairs.shape).T
    differ = np.minimum(hamming(plain[a], plain[b]), hamming(mirrored[a], plain[b]))
    comparable = known[a] & known[b]
    same = comparable & (differ <= bits)
    edges = np.concatenate([np.stack([np.arange(len(keys)), first[inverse]]), pairs[same].T], axis=1)
    return Groups(
        group=connect(len(keys), edges),
        pairs=pairs[same],
        similarity=similarity[same],
        bits=differ[same],
        identical=len(keys) - len(first),
        candidates=len(pairs),
        unseen=int((~seen).sum()),
        dropped=dropped,
    )


def _candidates(
    X: NDArray[np.float32], rows: NDArray[np.intp], threshold: float, block: int
) -> tuple[NDArray[np.intp], NDArray[np.float32], int]:
    """Find the similar pairs among these rows: rows (m, 2), cosines (m,), and how many were dropped."""
    starts = range(0, len(rows), block)
    mean = sum((X[rows[s : s + block]].sum(axis=0, dtype=np.float64) for s in starts), np.zeros(X.shape[1]))
    mean = (mean / max(1, len(rows))).astype(X.dtype)

    def directions(start: int) -> NDArray[np.floating]:
        # Made anew for each product: that costs 1 / block of it, and a copy of X its memory.
        Z = X[rows[start : start + block]] - mean
        length = np.linalg.norm(Z, axis=1, keepdims=True)
        return Z / np.where(length > 0, length, 1)

    found: list[tuple[NDArray[np.intp], NDArray[np.float32]]] = [
        (np.empty((0, 2), np.intp), np.empty(0, "f4"))
    ]
    dropped = 0
    for start in starts:
        left = directions(start)
        pairs, similarity = found[0]
        for other in range(start, len(rows), block):
            cosine = left @ directions(other).T
            near = cosine >= threshold
            if other == start:
                near = np.triu(near, 1)  # each pair once
            if near.any():
                i, j = np.nonzero(near)
                pairs = np.concatenate([pairs, np.stack([i + start, j + other], axis=1)])
                similarity = np.concatenate([similarity, cosine[i, j]])
                kept = _strongest(pairs, similarity)
                dropped += len(pairs) - len(kept)
                pairs, similarity = pairs[kept], similarity[kept]
        found.append((pairs, similarity))
    return rows[np.concatenate([one for one, _ in found])], np.concatenate([one for _, one in found]), dropped


def _strongest(pairs: NDArray[np.intp], similarity: NDArray[np.float32]) -> NDArray[np.intp]:
    """Choose the NEIGHBOURS most similar pairs of each first; of equals the nearest, so that they form a chain."""
    order = np.lexsort((pairs[:, 1], -similarity, pairs[:, 0]))
    first = pairs[order, 0]
    rank = np.arange(len(order)) - np.searchsorted(first, first)
    return order[rank < NEIGHBOURS]


def _hashes(
    keys: NDArray[np.uint8], thumbnails: Store
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.bool_]]:
    """Hash pictures as they are and mirrored; the third says which have a thumbnail. All (len(keys),)."""
    both, known = np.zeros((len(keys), 2), np.uint64), thumbnails.contains(keys)
    places = np.flatnonzero(known)
    for place, luma in zip(places, thumbnails.gather(keys[places]), strict=True):
        both[place] = phash(luma), phash(luma[:, ::-1])
    return both[:, 0], both[:, 1], known


def phash(luma: NDArray[np.float32]) -> np.uint64:
    """Hash the coarse shapes of a picture: which of its 8 x 8 lowest frequencies are above their median.

    Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1. Colour
    is not looked at, and of brightness and contrast only where it changes.

    Parameters
    ----------
    luma : (s, s) float
        The whole picture, whatever its aspect ratio was.

    Returns
    -------
    np.uint64
        To be compared with `hamming`. Unrelated pictures differ in about 32 of the 64 bits.
    """
    side = len(luma)
    # DCT-II, the rows of `basis` are its lowest frequencies; their scale moves no value across the median.
    angle = np.arange(_FREQUENCIES)[:, None] * (2 * np.arange(side) + 1) * np.pi / (2 * side)
    basis = np.cos(angle)
    frequencies = (basis @ luma @ basis.T).ravel()
    bits = frequencies > np.median(frequencies[1:])  # the first is the mean brightness: no shape
    return np.packbits(bits).view(">u8").astype(np.uint64)[0]


def hamming(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Count the bits in which hashes differ, 0..64."""
    return np.bitwise_count(a ^ b)
