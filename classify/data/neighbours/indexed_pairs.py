"""Pairs of pictures that may be copies, most of them: by an index, for many pictures; needs the extra `index`.

Axes: u distinct pictures; D features; w numbers of a vector in an index; s pictures of a sample; m pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classify.data.neighbours.approximate import FITTED, built, principal, probe
from classify.data.neighbours.pairs import SIMILARITY, Centred, Pairs, above, strongest
from classify.data.neighbours.search import Best
from classify.data.neighbours.shapes import FREQUENCIES, SHAPES, orientations

NEAREST = 16  # pictures most like one, by embedding and by each of its eight shapes
SAMPLE = 500  # pictures compared with all
_SLACK = 0.05  # by which a cosine may be greater than that of the components
_ASKED = 8_192  # pictures looked for at a time

Alike = tuple[NDArray[np.intp], NDArray[np.floating]]  # (m, 2) places, the smaller first; (m,) cosines
Vectors = NDArray[np.float32]


def of_most(directions: Centred, frequency: Vectors, block: int, seed: int = 0) -> Pairs:
    """Find most of the pairs that `pairs.of_all` finds, of each picture the 16 most similar ones.

    Embeddings are looked for by their principal components, and then compared whole; shapes as they are, in eight
    orientations. Each index looks into as many cells as it takes to find 95 % of the pairs of a sample.
    """
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(directions.count, min(SAMPLE, directions.count), replace=False))
    components, true = _components(directions, sample, block, rng)
    places, near = _alike(components, lambda v: [v], SIMILARITY - _SLACK, sample, true, rng)
    del components
    cosine = directions.cosines(places, block)
    places, strength = places[cosine >= SIMILARITY], above(cosine[cosine >= SIMILARITY], SIMILARITY)
    shapes = frequency.reshape(-1, FREQUENCIES**2)
    known = _true_shapes(frequency, sample, block)
    others, near = _alike(shapes, _turned, SHAPES, sample, known, rng)
    every, strength = _joined([places, others], [strength, above(near, SHAPES)], directions.count)
    asked = np.unique(np.concatenate([_codes(each, directions.count) for each in (true, known)]))
    found = np.isin(asked, _codes(every, directions.count))
    kept = strongest(every, strength)
    return Pairs(every[kept], len(every) - len(kept), int(found.sum()), len(asked))


def _components(
    directions: Centred, sample: NDArray[np.intp], block: int, rng: np.random.Generator
) -> tuple[Vectors, NDArray[np.intp]]:
    """Reduce all embeddings to (u, w) of length 1, and name the true pairs of the sample, in one pass over all."""
    count = directions.count
    basis = principal(directions.of(np.sort(rng.choice(count, min(FITTED, count), replace=False))))
    low, best, asked = (
        np.empty((count, basis.shape[1]), np.float32),
        Best(len(sample), NEAREST + 1),
        directions.of(sample),
    )
    for at, some in enumerate(directions.blocks):
        mine = directions.of(some)
        best.offer(0, at * block, asked @ mine.T)
        part = mine @ basis
        length = np.linalg.norm(part, axis=1, keepdims=True)
        low[some] = np.nan_to_num(part / np.where(length > 0, length, 1))
    return low, _true(best, sample, SIMILARITY, np.concatenate(directions.blocks))


def _true_shapes(frequency: Vectors, sample: NDArray[np.intp], block: int) -> NDArray[np.intp]:
    """Name the true pairs of the sample by shapes."""
    best, asked = Best(len(sample), NEAREST + 1), _turned(frequency[sample].reshape(len(sample), -1))
    for start in range(0, len(frequency), block):
        theirs = frequency[start : start + block].reshape(-1, FREQUENCIES**2).T
        best.offer(0, start, np.max([each @ theirs for each in asked], axis=0))
    return _true(best, sample, SHAPES, np.arange(len(frequency)))


def _true(best: Best, sample: NDArray[np.intp], least: float, offered: NDArray[np.intp]) -> NDArray[np.intp]:
    found = best.ordered()
    return _pairs(sample, offered[found.index], found.similarity, least)[0]


def _alike(
    vectors: Vectors,
    turned: Callable[[Vectors], Iterable[Vectors]],
    least: float,
    sample: NDArray[np.intp],
    true: NDArray[np.intp],
    rng: np.random.Generator,
) -> Alike:
    """Find the pairs among (u, w) vectors of length 1, or zero, one of them turned, whose cosine is at least this."""
    there, count = np.flatnonzero(vectors.any(axis=1)), len(vectors)
    if len(there) < 2:
        return np.empty((0, 2), np.intp), np.empty(0, np.float32)
    index = built(lambda some: vectors[there[some]], len(there), vectors.shape[1], rng)

    def found(some: NDArray[np.intp]) -> Alike:
        pairs, near = [], []
        for asked in turned(vectors[some]):
            cosine, place = index.search(np.ascontiguousarray(asked), min(NEAREST + 1, len(there)))
            each, how = _pairs(some, np.where(place < 0, some[:, None], there[place]), cosine, least)
            pairs.append(each)
            near.append(how)
        return _joined(pairs, near, count)

    wanted = _codes(true, count)
    probe(
        index,
        index.nlist,
        lambda: float(np.isin(wanted, _codes(found(sample)[0], count)).mean()) if len(wanted) else 1.0,
    )
    parts = [found(there[start : start + _ASKED]) for start in range(0, len(there), _ASKED)]
    return _joined([pairs for pairs, _ in parts], [near for _, near in parts], count)


def _pairs(of: NDArray[np.intp], found: NDArray[Any], cosine: NDArray[np.floating], least: float) -> Alike:
    """Pair each of (k,) pictures with those found of it, (k, j), but itself, whose cosine is enough."""
    row, column = np.nonzero((cosine >= least) & (found != of[:, None]))
    pairs = np.stack([of[row], found[row, column]], axis=1).astype(np.intp)
    return np.sort(pairs, axis=1), cosine[row, column]


def _joined(pairs: list[NDArray[np.intp]], near: list[NDArray[np.floating]], count: int) -> Alike:
    """Bring pairs together, each once, as near as it was found at most."""
    every, nearness = np.concatenate(pairs), np.concatenate(near)
    order = np.lexsort((-nearness, _codes(every, count)))
    code = _codes(every[order], count)
    first = order[np.flatnonzero(np.diff(code, prepend=-1))]
    return every[first], nearness[first]


def _codes(pairs: NDArray[np.intp], count: int) -> NDArray[np.int64]:
    """One number for a pair."""
    return pairs[:, 0].astype(np.int64) * count + pairs[:, 1]


def _turned(shapes: Vectors) -> list[Vectors]:
    """Vectors (k, 64) of shapes in the eight orientations."""
    square = shapes.reshape(-1, FREQUENCIES, FREQUENCIES)
    return [each.reshape(-1, FREQUENCIES**2) for each in orientations(square)]
