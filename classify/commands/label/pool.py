"""The pictures that may be asked about: near copies once, each with those that are most like it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from classify.data.neighbours.directions import Directions
from classify.data.neighbours.search import Neighbours


@dataclass(frozen=True, eq=False)
class Pool:
    """u pictures, no two of them near copies."""

    row: NDArray[np.intp]  # (u,) of the manifest: of near copies the first
    directions: NDArray[np.float32]  # (u, D) as of `Directions`
    near: NDArray[np.integer]  # (u, k) places of the pictures most like each
    likeness: NDArray[np.float32]  # (u, k) 0 to 1: cosine; 0 where there is none

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def of(cls, data: Embedded, group: NDArray[np.integer], neighbours: Neighbours) -> Pool:
        """Take the first picture of each group of near copies, with the neighbours that the data set has."""
        _, row = np.unique(group, return_index=True)
        spans = [(block.start, block.stop) for block in data.blocks]
        directions = Directions.around(data.embedding, row, spans).of(data.embedding[row])
        whole = cls(row, directions, neighbours.index[row], neighbours.similarity[row])
        place = np.searchsorted(np.unique(group), group)
        return replace(whole, near=place[whole.near])._without_itself()

    def part(self, places: NDArray[np.intp]) -> Pool:
        """Some of the pictures, as if there were no others."""
        where = np.full(len(self), -1)
        where[places] = np.arange(len(places))
        near = where[self.near[places]]
        likeness = np.where(near < 0, 0, self.likeness[places])
        return Pool(self.row[places], self.directions[places], np.maximum(near, 0), likeness)

    def _without_itself(self) -> Pool:
        copy = self.near == np.arange(len(self))[:, None]
        return replace(self, likeness=np.where(copy, 0, np.clip(self.likeness, 0, 1)))
