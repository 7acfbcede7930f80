"""Rows as directions: what two pictures' likeness is the cosine of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Spans = Sequence[tuple[int, int]]  # first column of each part of a row, and one past its last


@dataclass(frozen=True, eq=False)
class Directions:
    """Rows of D columns, less a mean, each of p parts brought to a length that depends on its width alone.

    Their product is a cosine: the mean of those of the parts, weighed by their widths. So all columns count alike,
    whatever unit the numbers of a part have, and the row as a whole has length 1.
    """

    mean: NDArray[np.float32]  # (D,)
    spans: tuple[tuple[int, int], ...]  # of the p parts

    @classmethod
    def around(
        cls, rows: NDArray[np.float32], picked: NDArray[np.intp], spans: Spans = (), block: int = 2048
    ) -> Directions:
        """Take the mean of the picked ones of (n, D) rows; they are one part, if no spans are named."""
        starts = range(0, len(picked), block)
        sums = (rows[picked[at : at + block]].sum(axis=0, dtype=np.float64) for at in starts)
        mean = sum(sums, np.zeros(rows.shape[1])) / max(1, len(picked))
        return cls(mean.astype(np.float32), tuple(spans) or ((0, rows.shape[1]),))

    def of(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn (m, D) rows into (m, D) directions of length 1; a part that is the mean itself becomes zeros."""
        width = sum(stop - start for start, stop in self.spans)
        found = np.subtract(rows, self.mean, dtype=np.float32)
        for start, stop in self.spans:
            part = found[:, start:stop]
            length = np.sqrt(np.einsum("ij,ij->i", part, part))[:, None]
            part *= np.sqrt((stop - start) / width) / np.where(length > 0, length, 1)
        return found
