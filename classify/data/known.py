"""Pictures that are held ready, so that another one is compared with all of them at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cache.storage.store import Store
from classify.data.neighbours.alignment import likeness
from classify.data.neighbours.directions import Directions, Spans
from classify.data.neighbours.near_duplicates import BITS, LIKENESS
from classify.data.neighbours.pairs import NEIGHBOURS, SIMILARITY
from classify.data.neighbours.shapes import SHAPES, described, differing, orientations, oriented
from extract.pictures.thumbnail import SIDE


class Known:
    """n pictures by the directions of their rows and by their thumbnails; 4 D + 1.3 K bytes for each.

    Parameters
    ----------
    keys : (n, 32) uint8
    rows : (n, D) float32
        As a head takes them.
    spans : sequence of (int, int)
        Columns of the parts of a row; none: it is one part.
    thumbnails : Store
        As of `extract.embedding.thumbnails.thumbnails_of`; a picture that has none there is no copy of any.
    """

    def __init__(
        self, keys: NDArray[np.uint8], rows: NDArray[np.float32], spans: Spans, thumbnails: Store
    ) -> None:
        self._around = Directions.around(rows, np.arange(len(rows)), spans)
        self._directions = self._around.of(rows)
        self._there = thumbnails.contains(keys)
        luma = np.zeros((len(keys), SIDE, SIDE), np.float32)
        if self._there.any():
            luma[self._there] = thumbnails.gather(keys[self._there])
        self._luma = luma.astype(np.uint8)
        self._shapes, self._fine = described(luma)

    def similarity(self, row: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosines (n,) of the rows with another, (D,): those that `search.nearest` orders by."""
        return np.clip(self._directions @ self._around.of(row[None])[0], -1, 1)

    def copies(self, similarity: NDArray[np.float32], luma: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Which of the pictures show the same as another one, the likest first.

        By the thresholds of `near_duplicates`, with the rows of a head in the place of a network's plain embeddings.

        Parameters
        ----------
        similarity : (n,) float32
            The other one's, as `similarity` gives it.
        luma : (s, s) uint8
            Its thumbnail.
        """
        mine, fine = described(luma[None].astype(np.float32))
        turned = np.stack([each[0] for each in orientations(mine)])
        alike = np.tensordot(self._shapes, turned, axes=([1, 2], [1, 2]))  # (n, 8)
        detailed = self._there & self._fine & fine[0]
        shaped = np.where(detailed, alike.max(axis=1), -1)
        strength = np.maximum((similarity - SIMILARITY) / (1 - SIMILARITY), (shaped - SHAPES) / (1 - SHAPES))
        near = np.flatnonzero(self._there & (strength >= 0))
        near = near[np.argsort(-strength[near], kind="stable")][:NEIGHBOURS]
        if not len(near):
            return near
        asked = luma.astype(np.float32)
        laid = np.stack([oriented(asked, how) for how in alike[near].argmax(axis=1).tolist()])
        like = likeness(laid, self._luma[near].astype(np.float32))
        like[~detailed[near]] = 0
        pairs = np.stack([np.zeros(len(near), np.intp), np.arange(1, 1 + len(near))], axis=1)
        bits = differing(np.concatenate([mine, self._shapes[near]]), pairs)
        same = (like >= LIKENESS) | ((bits <= BITS) & (similarity[near] >= SIMILARITY))
        return near[same][np.argsort(-like[same], kind="stable")]
