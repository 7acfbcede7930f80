"""What a head of the audit's own learns from and is judged by: rows, labels, near copies and nearest pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from classify.commands.audit.kinds.labels import FEWEST, VOTERS
from classify.data.neighbours.search import Neighbours


@dataclass(frozen=True, eq=False)
class Labelled:
    """n pictures with rows of D numbers, and C classes."""

    X: NDArray[np.float32]  # (n, D)
    widths: tuple[int, ...]  # columns of each part of a row
    label: NDArray[np.integer]  # (n,) index of the class, -1 for none
    group: NDArray[np.integer]  # (n,) near copies share a number, and stay in one fold
    voters: NDArray[np.integer]  # (n, k) the nearest pictures that are no copies, -1 for none
    classes: int  # C

    @classmethod
    def of(cls, data: Embedded, group: NDArray[np.integer], others: Neighbours) -> Labelled:
        """Take the pictures of a data set; one that carries two labels counts as having none."""
        manifest = data.manifest
        return cls(
            data.embedding,
            tuple(block.stop - block.start for block in data.blocks),
            np.where(manifest.conflicts(), np.int32(-1), manifest.label),
            group,
            others.index[:, :VOTERS],
            len(manifest.classes),
        )

    def with_labels(self, label: NDArray[np.integer]) -> Labelled:
        """The same pictures with other labels, (n,)."""
        return replace(self, label=label)

    @property
    def learnable(self) -> NDArray[np.bool_]:
        """Which labels are of classes that occur in at least `FEWEST` groups, and so in each fold: (n,)."""
        pairs = np.unique(np.stack([self.label, self.group]), axis=1)
        codes, counts = np.unique(pairs[0], return_counts=True)
        return (self.label >= 0) & np.isin(self.label, codes[counts >= FEWEST])
