"""Pairs of pictures that may be copies: all whose embeddings or coarse shapes are alike, by comparing all with all.

Axes: u distinct pictures; D features; m pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from classify.data.neighbours.shapes import FREQUENCIES, SHAPES, orientations

SIMILARITY = 0.8  # cosine of centred embeddings from which on a pair is looked at
NEIGHBOURS = 64  # pairs looked at for one picture: where all pictures look alike there would be n * n


class Embeddings(Protocol):
    """Rows that are read when they are asked for."""

    def take(self, indices: NDArray[np.intp]) -> NDArray[np.float32]:
        """(k,) rows, in any order -> (k, D)."""
        ...

    def in_file_order(self, indices: NDArray[np.intp]) -> NDArray[np.intp]:
        """Order (k,) rows as they lie in the files: (k,) positions among `indices`."""
        ...


@dataclass(frozen=True)
class Pairs:
    """What is to be laid over each other."""

    places: NDArray[np.intp]  # (m, 2) among the u pictures, the smaller first
    dropped: int = 0  # pairs alike enough, but with NEIGHBOURS more similar ones for each picture
    found: int = 0  # of `sampled`; both 0 where all were compared with all
    sampled: int = 0  # pairs of a sample of pictures, compared with all


class Centred:
    """Embeddings of u pictures, less the mean of all and of length 1; zeros stay zeros.

    They are made anew for each product: that costs little of it, and a copy of all their memory. `blocks` name all
    pictures, in the order in which they are read at once.

    Parameters
    ----------
    X : (n, D) float32, or what they are taken from
    rows : (u,) int
        Of the pictures meant.
    block : int
    """

    def __init__(self, X: NDArray[np.float32] | Embeddings, rows: NDArray[np.intp], block: int) -> None:
        self.count, self._rows = len(rows), rows
        if isinstance(X, np.ndarray):
            self._take: Callable[[NDArray[np.intp]], NDArray[np.float32]] = X.__getitem__
            order = np.arange(len(rows))
        else:
            self._take, order = X.take, X.in_file_order(rows)
        self.blocks = [order[start : start + block] for start in range(0, len(rows), block)]
        blocks = (self._take(rows[some]) for some in self.blocks)
        sums = [(some.sum(axis=0, dtype=np.float64), some.dtype) for some in blocks]
        self._mean = (sum(total for total, _ in sums) / len(rows)).astype(sums[0][1]) if sums else np.zeros(0)

    def of(self, places: NDArray[np.intp]) -> NDArray[np.floating]:
        """(k,) places -> (k, D)."""
        centred = self._take(self._rows[places]) - self._mean
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        return centred / np.where(length > 0, length, 1)

    def cosines(self, pairs: NDArray[np.intp], block: int) -> NDArray[np.floating]:
        """Compare the pictures of pairs of places (m, 2): (m,)."""
        found = [np.empty(0, np.float32)]
        for start in range(0, len(pairs), block):
            some = pairs[start : start + block]
            asked, at = np.unique(some, return_inverse=True)
            a, b = self.of(asked)[at.reshape(some.shape)].swapaxes(0, 1)
            found.append((a * b).sum(axis=1))
        return np.concatenate(found)


def of_all(directions: Centred, frequency: NDArray[np.float32], block: int) -> Pairs:
    """Find the pairs that are alike in embedding or shape, u * u * (D + 8 * 63) multiplications.

    Parameters
    ----------
    directions : Centred
    frequency : (u, 8, 8) float32
        Of `shapes.frequencies`; zeros of a picture whose shapes count for nothing.
    block : int
        Pictures multiplied at a time.
    """
    count = directions.count

    def strengths(start: int, other: int) -> NDArray[np.floating]:
        """How far above its threshold a pair is, by what is further; 1 for equals."""
        mine, theirs = (np.arange(first, min(first + block, count)) for first in (start, other))
        shapes = frequency[theirs].reshape(-1, FREQUENCIES**2).T
        strength = above(directions.of(mine) @ directions.of(theirs).T, SIMILARITY)
        for turned in orientations(frequency[mine]):
            # not NaN, if an embedding is
            np.fmax(strength, above(turned.reshape(-1, FREQUENCIES**2) @ shapes, SHAPES), out=strength)
        return strength

    found = [np.empty((0, 2), np.intp)]
    dropped = 0
    for start in range(0, count, block):
        pairs, strength = np.empty((0, 2), np.intp), np.empty(0, np.float32)
        for other in range(start, count, block):
            every = strengths(start, other)
            near = every >= 0
            if other == start:
                near = np.triu(near, 1)  # each pair once
            if near.any():
                i, j = np.nonzero(near)
                pairs = np.concatenate([pairs, np.stack([i + start, j + other], axis=1)])
                strength = np.concatenate([strength, every[i, j]])
                kept = strongest(pairs, strength)
                dropped += len(pairs) - len(kept)
                pairs, strength = pairs[kept], strength[kept]
        found.append(pairs)
    return Pairs(np.concatenate(found), dropped)


def above(cosine: NDArray[np.floating], least: float) -> NDArray[np.floating]:
    """How far a cosine is above the least that counts: 0 there, 1 for equals."""
    return (cosine - least) / (1 - least)


def strongest(pairs: NDArray[np.intp], strength: NDArray[np.float32]) -> NDArray[np.intp]:
    """Choose the NEIGHBOURS most similar pairs of each first; of equals the nearest, so that they form a chain."""
    order = np.lexsort((pairs[:, 1], -strength, pairs[:, 0]))
    first = pairs[order, 0]
    rank = np.arange(len(order)) - np.searchsorted(first, first)
    return order[rank < NEIGHBOURS]
