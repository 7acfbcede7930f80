"""The search for the most similar rows by an index, which misses a few: for many rows; needs the extra `index`.

Axes: n rows searched, of them b asked for at a time; D features; w principal components; k neighbours of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classify.data.neighbours.directions import Directions, Spans
from classify.data.neighbours.search import BLOCK, RECALL, SAMPLE, Neighbours, among, nearest

EXACT = 50_000  # pictures from which on an index is asked, if there is one
TABLE = (
    200_000  # pictures up to which all are compared with all where cells hold too few: beyond, many minutes
)
COMPONENTS = 128  # principal ones, by which rows are looked for
FITTED = 20_000  # rows that tell the components
LOOKED_AT = 10_000  # rows that one is compared with by its components, at most
_WHOLE = 4  # times as many as are wanted are then compared whole
_TRAINED_ON = 40  # rows for each cell: faiss warns of fewer than 39
_ROUNDS = 10  # of k-means: what more would gain is less than they cost
_FIRST = 4  # cells looked into, at first

Vectors = NDArray[np.float32]


def approximate(
    rows: Vectors,
    k: int,
    spans: Spans,
    picked: NDArray[np.intp],
    say: Callable[[str], None] = lambda text: None,
    seed: int = 0,
) -> Neighbours:
    """Find most of the k most similar others of each picked row, as `search.among` finds all.

    Rows are looked for by their principal components: sorted into about 2 * sqrt(n) cells around means (faiss
    IndexIVFFlat; Sivic and Zisserman 2003), of which only the nearest are looked into, as many as it takes to find 95 %
    of the true neighbours of a sample, but not more than have `LOOKED_AT` rows. The first 4 * k are compared whole.
    Where that finds too few, up to `TABLE` rows are compared with all, by their components or else whole.

    Parameters
    ----------
    rows, k, spans, picked
        As of `search.among`.
    say : callable
        Told what takes longer than an index should.
    seed : int
        Of the sample, and of the rows that the index learns from.

    Returns
    -------
    Neighbours
        With the recall on the sample, of rows drawn at random.
    """
    rng, n = np.random.default_rng(seed), len(picked)
    index = _Index.of(rows, picked, spans, rng)
    sample = np.sort(rng.choice(n, min(SAMPLE, n), replace=False))
    true = _others(sample, nearest(rows, rows[picked[sample]], k + 1, spans, picked))

    def found() -> float:
        return _shared(index.nearest(sample, k).index, true.index)

    recall = probe(index.cells, index.affordable, found)
    if recall < RECALL and n <= TABLE:
        index = index.without_cells()
        recall = found()
        if recall < RECALL:
            say(f"an index finds {recall:.0%} of the neighbours: all are compared with all, once: minutes")
            return among(rows, k, spans, picked)
    parts = []
    for start in range(0, n, BLOCK):
        some = np.arange(start, min(start + BLOCK, n))
        part = index.nearest(some, k)
        lacking = (part.index < 0).any(axis=1)  # too few rows in the cells looked into
        if lacking.any():
            mine = rows[picked[some[lacking]]]
            exact = _others(some[lacking], nearest(rows, mine, k + 1, spans, picked))
            part.index[lacking], part.similarity[lacking] = exact.index, exact.similarity
        parts.append(part)
    return Neighbours(
        np.concatenate([part.index for part in parts]),
        np.concatenate([part.similarity for part in parts]),
        recall,
    )


@dataclass(frozen=True, eq=False)
class _Index:
    """n directions, whole and by their principal components."""

    basis: Vectors  # (D, w)
    cells: Any  # faiss index of the components, in cells or not
    whole: Any  # faiss index of the directions; a copy of them

    @classmethod
    def of(cls, rows: Vectors, picked: NDArray[np.intp], spans: Spans, rng: np.random.Generator) -> _Index:
        import faiss

        directions, n = Directions.around(rows, picked, spans), len(picked)
        fitted = np.sort(rng.choice(n, min(FITTED, n), replace=False))
        basis = principal(directions.of(rows[picked[fitted]]))
        whole, low = faiss.IndexFlatIP(rows.shape[1]), np.empty((n, basis.shape[1]), np.float32)
        for start in range(0, n, BLOCK):
            some = slice(start, start + BLOCK)
            mine = directions.of(rows[picked[some]])
            whole.add(mine)
            low[some] = mine @ basis
        return cls(basis, built(lambda some: low[some], n, low.shape[1], rng), whole)

    @property
    def affordable(self) -> int:
        """Cells that have `LOOKED_AT` rows together."""
        cells = self.cells.nlist
        return min(cells, max(_FIRST, LOOKED_AT * cells // self.cells.ntotal))

    def without_cells(self) -> _Index:
        """The same, each row compared with all by its components."""
        import faiss

        every = faiss.IndexFlatIP(self.cells.d)
        for start in range(0, self.cells.ntotal, BLOCK):
            mine = self.whole.reconstruct_n(start, min(BLOCK, self.cells.ntotal - start))
            every.add(mine @ self.basis)
        return replace(self, cells=every)

    def nearest(self, some: NDArray[np.intp], k: int) -> Neighbours:
        """Find k others of each of (b,) rows, -1 where there are fewer in the cells looked into."""
        import faiss

        asked = self.whole.reconstruct_batch(some)
        _, place = self.cells.search(asked @ self.basis, min(_WHOLE * k + 1, self.whole.ntotal))
        cosine = np.empty(place.shape, np.float32)
        first, found, labels = map(faiss.swig_ptr, (asked, cosine, place))
        self.whole.compute_distance_subset(len(some), first, place.shape[1], found, labels)
        cosine[(place < 0) | (place == some[:, None])] = -np.inf
        best = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        cosine = np.take_along_axis(cosine, best, axis=1)
        place = np.where(np.isneginf(cosine), -1, np.take_along_axis(place, best, axis=1))
        return Neighbours(place.astype(np.int32), np.clip(cosine, -1, 1))


def principal(rows: Vectors) -> Vectors:
    """Return the first principal components of (m, D) rows: (D, w), w = min(128, D), the strongest last."""
    rows = np.nan_to_num(rows)
    _, basis = np.linalg.eigh(rows.T @ rows)
    return np.ascontiguousarray(basis[:, -COMPONENTS:], np.float32)


def built(
    vectors: Callable[[NDArray[np.intp]], Vectors], n: int, width: int, rng: np.random.Generator
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


def probe(index: Any, most: int, recall: Callable[[], float]) -> float:
    """Look into more and more cells, but not more than so many, until the recall, which is returned, is good enough."""
    index.nprobe = min(_FIRST, most)
    while (found := recall()) < RECALL and index.nprobe < most:
        index.nprobe = min(2 * index.nprobe, most)
    return found


def _others(of: NDArray[np.intp], found: Neighbours) -> Neighbours:
    """Drop each row itself from its k + 1 neighbours, or else the last of them."""
    itself = found.index == of[:, None]
    itself[~itself.any(axis=1), -1] = True
    shape = len(of), found.index.shape[1] - 1
    return Neighbours(found.index[~itself].reshape(shape), found.similarity[~itself].reshape(shape))


def _shared(found: NDArray[np.int32], true: NDArray[np.int32]) -> float:
    """Recall: the mean share of the true ones that was found."""
    return float(np.mean([np.isin(mine, theirs).mean() for mine, theirs in zip(true, found, strict=True)]))
