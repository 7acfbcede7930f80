"""The search for the most similar rows by an index, which misses a few: for many rows; needs the extra `index`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classify.data.neighbours.directions import Directions, Spans
from classify.data.neighbours.search import BLOCK, Neighbours, nearest

EXACT = 50_000  # pictures from which on an index is asked, if there is one
RECALL = 0.95  # share of the true neighbours from which on an index is good enough
SAMPLE = 1_000  # rows on which that is measured
_TRAINED_ON = 40  # rows for each cell: faiss warns of fewer than 39
_ROUNDS = 10  # of k-means: what more would gain is less than they cost
_FIRST = 4  # cells looked into, at first


def approximate(
    rows: NDArray[np.float32], k: int, spans: Spans, picked: NDArray[np.intp], seed: int = 0
) -> Neighbours:
    """Find most of the k most similar others of each picked row, as `search.among` finds all.

    Rows are sorted into about 2 * sqrt(n) cells around means (faiss IndexIVFFlat; Sivic and Zisserman 2003), and only
    the nearest cells are looked into: as many as it takes to find 95 % of the true neighbours of a sample.

    Returns
    -------
    Neighbours
        With the recall on the sample, of rows drawn at random.
    """
    rng, n = np.random.default_rng(seed), len(picked)
    directions = Directions.around(rows, picked, spans)
    index = built(lambda some: directions.of(rows[picked[some]]), n, rows.shape[1], rng)
    sample = np.sort(rng.choice(n, min(SAMPLE, n), replace=False))
    true = _others(sample, nearest(rows, rows[picked[sample]], k + 1, spans, picked))
    asked = directions.of(rows[picked[sample]])
    recall = probe(index, lambda: _shared(_others(sample, _asked(index, asked, k + 1)).index, true.index))
    parts = []
    for start in range(0, n, BLOCK):
        some = np.arange(start, min(start + BLOCK, n))
        mine = rows[picked[some]]
        part = _others(some, _asked(index, directions.of(mine), k + 1))
        lacking = (part.index < 0).any(axis=1)  # too few rows in the cells looked into
        if lacking.any():
            exact = _others(some[lacking], nearest(rows, mine[lacking], k + 1, spans, picked))
            part.index[lacking], part.similarity[lacking] = exact.index, exact.similarity
        parts.append(part)
    return Neighbours(
        np.concatenate([part.index for part in parts]),
        np.concatenate([part.similarity for part in parts]),
        recall,
    )


def built(
    vectors: Callable[[NDArray[np.intp]], NDArray[np.float32]], n: int, width: int, rng: np.random.Generator
) -> Any:
    """Make an index of n vectors of this width, block by block: it holds a copy of them.

    vectors : from (k,) places to (k, width) float32
    """
    import faiss

    cells = max(1, min(round(2 * n**0.5), n // _TRAINED_ON))
    quantizer = faiss.IndexFlatIP(width)
    index = faiss.IndexIVFFlat(quantizer, width, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = _ROUNDS
    index.train(vectors(np.sort(rng.choice(n, min(n, _TRAINED_ON * cells), replace=False))))
    for start in range(0, n, BLOCK):
        index.add(vectors(np.arange(start, min(start + BLOCK, n))))
    return index


def probe(index: Any, recall: Callable[[], float]) -> float:
    """Look into more and more cells until the recall, which is returned, is good enough."""
    probes, found = min(_FIRST, index.nlist), 0.0
    while found < RECALL and probes < 2 * index.nlist:
        index.nprobe = min(probes, index.nlist)
        found = recall()
        probes *= 2
    return found


def _asked(index: Any, asked: NDArray[np.float32], k: int) -> Neighbours:
    similarity, place = index.search(asked, k)
    return Neighbours(place.astype(np.int32), np.clip(similarity, -1, 1))


def _others(of: NDArray[np.intp], found: Neighbours) -> Neighbours:
    """Drop each row itself from its k + 1 neighbours, or else the last of them."""
    itself = found.index == of[:, None]
    itself[~itself.any(axis=1), -1] = True
    shape = len(of), found.index.shape[1] - 1
    return Neighbours(found.index[~itself].reshape(shape), found.similarity[~itself].reshape(shape))


def _shared(found: NDArray[np.int32], true: NDArray[np.int32]) -> float:
    """Recall: the mean share of the true ones that was found."""
    return float(np.mean([np.isin(mine, theirs).mean() for mine, theirs in zip(true, found, strict=True)]))
