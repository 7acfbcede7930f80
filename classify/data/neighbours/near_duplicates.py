"""Pictures that are the same, or nearly: found by embeddings and coarse shapes, confirmed by their thumbnails.

Axes: n rows of the manifest, of them u with distinct bytes; D features; F = 63 frequencies; m pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cache.storage.keys import as_items, unique
from cache.storage.store import Store
from cache.text import counted
from classify.data.groups import connect
from classify.data.neighbours.alignment import likeness
from extract.pictures.thumbnail import SIDE

# Why these: docs/decisions/0020-aligned-thumbnails.md.
SIMILARITY = 0.8  # cosine of centred embeddings from which on a pair is looked at
SHAPES = 0.75  # the same of the coarse shapes of two pictures, one of them turned or mirrored as fits best
LIKENESS = 0.9  # correlation of the fine detail of two copies
BITS = 10  # of 63 in which the perceptual hashes differ of two copies whose embeddings are alike
FINE = 0.005  # share of a picture's contrast that is fine detail; with less, as digits have, all are alike
NEIGHBOURS = 64  # pairs looked at for one picture: where all pictures look alike there would be n * n
RULES = f"near copies 1: {SIMILARITY} {SHAPES} {LIKENESS} {BITS} {FINE} {NEIGHBOURS}"  # who keeps an answer, by them
_PAIRS = 1024  # laid over each other at a time

_FREQUENCIES, _COARSE = 8, 12  # a side: those of shapes, and those that are not fine
_ANGLE = np.arange(_COARSE)[:, None] * (2 * np.arange(SIDE) + 1) * np.pi / (2 * SIDE)
_BASIS = np.cos(_ANGLE) / np.linalg.norm(
    np.cos(_ANGLE), axis=1, keepdims=True
)  # DCT-II, its lowest frequencies
_RISE = 1.0 + np.add.outer(
    np.arange(_FREQUENCIES), np.arange(_FREQUENCIES)
)  # low ones would drown the others
_SIGN = (-1.0) ** np.arange(_FREQUENCIES)  # what a picture's mirror image makes of its frequencies


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
    threshold: float = LIKENESS,
    block: int = 2048,
) -> Groups:
    """Group the rows that show the same picture: the same bytes, or a near copy.

    Near copies are re-encoded, resized, a little cropped or turned, brightened, grey, mirrored, upside down or on
    their side. Candidates are the pairs of distinct pictures whose embeddings, less the mean of all, or whose
    coarse shapes are alike: u * u * (D + 8 * F) multiplications in blocks, memory for block * (D + 3 * block)
    numbers beside X. Then one thumbnail is laid over the other, and their fine detail decides; where embeddings
    are alike, equal perceptual hashes are enough. No file is read: the answer depends on the cache alone. What a
    chain of copies connects is one group.

    Parameters
    ----------
    keys : (n, 32) uint8
    X : (n, D) float32
        Embeddings, all in one space.
    thumbnails : Store
        As of `extract.embedding.thumbnails.thumbnails_of`.
    threshold : float
        The least likeness of copies, between -1 and 1.
    block : int
        Rows multiplied at a time.
    """
    _, first, inverse = unique(as_items(keys))
    rows = np.sort(first)
    known = thumbnails.contains(keys[rows])
    frequency, fine = _frequencies(keys[rows], known, thumbnails, block)
    seen = np.flatnonzero(known)
    places, dropped = _candidates(X, rows[seen], (frequency * fine[:, None, None])[seen], block)
    places = seen[places]
    like, pairs = np.zeros(len(places), np.float32), rows[places]
    detailed = fine[places].all(axis=1)
    like[detailed] = _compared(keys[rows], frequency, places[detailed], thumbnails)
    bits = _differing(frequency[places[:, 0]], frequency[places[:, 1]])
    same = (like >= threshold) | ((bits <= BITS) & (_cosines(X, rows, pairs, block) >= SIMILARITY))
    edges = np.concatenate([np.stack([np.arange(len(keys)), first[inverse]]), pairs[same].T], axis=1)
    return Groups(
        group=connect(len(keys), edges),
        pairs=pairs[same],
        likeness=like[same],
        bits=bits[same],
        identical=len(keys) - len(first),
        candidates=len(pairs),
        unseen=int((~known).sum()),
        dropped=dropped,
    )


def _frequencies(
    keys: NDArray[np.uint8], known: NDArray[np.bool_], thumbnails: Store, block: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Describe coarse shapes: (u, 8, 8) of length 1, without mean brightness; zeros without a thumbnail.

    The second tells which pictures have fine detail: (u,).
    """
    found = np.zeros((len(keys), _FREQUENCIES, _FREQUENCIES), np.float32)
    fine, places = np.zeros(len(keys), bool), np.flatnonzero(known)
    for start, luma in enumerate(thumbnails.stream(keys[places], block)) if len(places) else ():
        some = places[start * block : start * block + len(luma)]
        luma = luma - luma.mean(axis=(1, 2), keepdims=True)
        wave, contrast = _BASIS @ luma @ _BASIS.T, (luma**2).sum(axis=(1, 2))
        fine[some] = contrast - (wave**2).sum(axis=(1, 2)) > FINE * contrast  # Parseval
        wave = wave[:, :_FREQUENCIES, :_FREQUENCIES] * _RISE
        length = np.linalg.norm(wave, axis=(1, 2), keepdims=True)
        found[some] = wave / np.maximum(length, 1)
    return found, fine


def _orientations(frequency: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return (k, 8, 8) frequencies as of pictures in the eight orientations, in the order of `_oriented`."""
    found = []
    for across in (frequency, frequency.swapaxes(1, 2)):
        for down in (across, across * _SIGN[:, None]):
            found += [down, down * _SIGN]
    return [each.astype(np.float32) for each in found]


def _oriented(luma: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Turn one picture (s, s): 4 on the diagonal, 2 upside down, 1 left to right."""
    luma = luma.T if orientation & 4 else luma
    luma = luma[::-1] if orientation & 2 else luma
    return luma[:, ::-1] if orientation & 1 else luma


def _candidates(
    X: NDArray[np.float32], rows: NDArray[np.intp], frequency: NDArray[np.float32], block: int
) -> tuple[NDArray[np.intp], int]:
    """Find the pairs that are alike in embedding or shape: places among the rows (m, 2), and how many were dropped."""
    starts, mean = range(0, len(rows), block), _mean(X, rows, block)

    def directions(start: int) -> NDArray[np.floating]:
        # Made anew for each product: that costs 1 / block of it, and a copy of X its memory.
        return _directions(X[rows[start : start + block]] - mean)

    def strengths(start: int, other: int) -> NDArray[np.floating]:
        """How far above its threshold a pair is, by what is further; 1 for equals."""
        shapes = frequency[other : other + block].reshape(-1, _FREQUENCIES**2).T
        strength = (directions(start) @ directions(other).T - SIMILARITY) / (1 - SIMILARITY)
        for turned in _orientations(frequency[start : start + block]):
            alike = (turned.reshape(-1, _FREQUENCIES**2) @ shapes - SHAPES) / (1 - SHAPES)
            np.fmax(strength, alike, out=strength)  # not NaN, if an embedding is
        return strength

    found = [np.empty((0, 2), np.intp)]
    dropped = 0
    for start in starts:
        pairs, strength = np.empty((0, 2), np.intp), np.empty(0, np.float32)
        for other in range(start, len(rows), block):
            every = strengths(start, other)
            near = every >= 0
            if other == start:
                near = np.triu(near, 1)  # each pair once
            if near.any():
                i, j = np.nonzero(near)
                pairs = np.concatenate([pairs, np.stack([i + start, j + other], axis=1)])
                strength = np.concatenate([strength, every[i, j]])
                kept = _strongest(pairs, strength)
                dropped += len(pairs) - len(kept)
                pairs, strength = pairs[kept], strength[kept]
        found.append(pairs)
    return np.concatenate(found), dropped


def _mean(X: NDArray[np.float32], rows: NDArray[np.intp], block: int) -> NDArray[np.float32]:
    parts = (X[rows[s : s + block]].sum(axis=0, dtype=np.float64) for s in range(0, len(rows), block))
    return (sum(parts, np.zeros(X.shape[1])) / max(1, len(rows))).astype(X.dtype)


def _directions(Z: NDArray[np.float32]) -> NDArray[np.floating]:
    length = np.linalg.norm(Z, axis=1, keepdims=True)
    return Z / np.where(length > 0, length, 1)


def _cosines(
    X: NDArray[np.float32], rows: NDArray[np.intp], pairs: NDArray[np.intp], block: int
) -> NDArray[np.floating]:
    """Compare the embeddings of pairs of rows (m, 2), less the mean of all: (m,)."""
    mean, found = _mean(X, rows, block), [np.empty(0, np.float32)]
    for start in range(0, len(pairs), block):
        a, b = (_directions(X[side] - mean) for side in pairs[start : start + block].T)
        found.append((a * b).sum(axis=1))
    return np.concatenate(found)


def _differing(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.intp]:
    """Count the bits in which perceptual hashes differ, of (m, 8, 8) frequencies, one of them mirrored or not: (m,).

    Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1: which
    frequencies are above their median.
    """

    def bits(frequency: NDArray[np.float32]) -> NDArray[np.bool_]:
        values = (frequency / _RISE).reshape(-1, _FREQUENCIES**2)[:, 1:]
        return values > np.median(values, axis=1, keepdims=True)

    return np.minimum((bits(a) ^ bits(b)).sum(axis=1), (bits(a * _SIGN) ^ bits(b)).sum(axis=1))


def _strongest(pairs: NDArray[np.intp], strength: NDArray[np.float32]) -> NDArray[np.intp]:
    """Choose the NEIGHBOURS most similar pairs of each first; of equals the nearest, so that they form a chain."""
    order = np.lexsort((pairs[:, 1], -strength, pairs[:, 0]))
    first = pairs[order, 0]
    rank = np.arange(len(order)) - np.searchsorted(first, first)
    return order[rank < NEIGHBOURS]


def _compared(
    keys: NDArray[np.uint8], frequency: NDArray[np.float32], places: NDArray[np.intp], thumbnails: Store
) -> NDArray[np.float32]:
    """Lay the pairs at these places (m, 2) over each other, the first as its shapes say: likeness (m,)."""
    like = np.zeros(len(places), np.float32)
    for start in range(0, len(places), _PAIRS):
        some = places[start : start + _PAIRS]
        asked, at = np.unique(some, return_inverse=True)
        luma, (a, b) = thumbnails.gather(keys[asked]), at.reshape(some.shape).T
        other = frequency[some[:, 1]]
        alike = [(turned * other).sum(axis=(1, 2)) for turned in _orientations(frequency[some[:, 0]])]
        turned = np.stack([_oriented(luma[i], o) for i, o in zip(a, np.argmax(alike, axis=0), strict=True)])
        like[start : start + _PAIRS] = likeness(turned, luma[b])
    return like
