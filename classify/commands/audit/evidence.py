"""What the kinds of issues judge by: labels, near copies, neighbours, and answers out of sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from classify.data.neighbours.near_duplicates import Groups
from classify.data.neighbours.search import Neighbours
from extract.pictures.facts import Facts


@dataclass(frozen=True, eq=False)
class Evidence:
    """n pictures of a data set, in the order of its manifest."""

    data: Embedded
    copies: Groups
    others: Neighbours  # the nearest ones, without near copies; index -1 and similarity NaN where there are no more
    probability: NDArray[
        np.float32
    ]  # (n, C) in the order of the manifest's classes; NaN where nothing is known
    facts: Facts  # of the pixels; NaN where nothing is known

    @property
    def label(self) -> NDArray[np.int32]:
        """(n,) index into the manifest's classes, -1 for none."""
        return self.data.manifest.label


def without_copies(neighbours: Neighbours, group: NDArray[np.integer]) -> Neighbours:
    """Leave out the neighbours that are of a row's own group: the others move up, -1 and NaN fill the end."""
    copy = group[neighbours.index] == group[:, None]
    order = np.argsort(copy, axis=1, kind="stable")
    index = np.where(copy, np.int32(-1), neighbours.index)
    similarity = np.where(copy, np.float32(np.nan), neighbours.similarity)
    return Neighbours(
        np.take_along_axis(index, order, axis=1),
        np.take_along_axis(similarity, order, axis=1),
        neighbours.recall,
    )
