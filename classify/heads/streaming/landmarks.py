"""What a kernel makes of a row: how near it is to landmarks (Nystroem's method; Williams and Seeger 2001, NeurIPS)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import eigh
from threadpoolctl import threadpool_limits

from classify.data.rows.blocks import Rows, sweep
from classify.heads.fitting.scores import squared_distances
from classify.heads.streaming.moments import CONSTANT
from classify.heads.table import NYSTROEM

SURE = 1e-6  # of the largest eigenvalue: what is below, float32 does not tell from nothing


@dataclass(frozen=True, eq=False)
class Landmarks:
    """M standardised rows, and R directions that they span under the kernel exp(-gamma |a - b|^2); float32."""

    mean: np.ndarray  # (D,)
    scale: np.ndarray  # (D,)
    points: np.ndarray  # (M, D)
    gamma: float
    projection: np.ndarray  # (R, M)

    @classmethod
    def among(cls, rows: Rows, gamma: float, jobs: int | None = None) -> Landmarks:
        """Draw them from n rows, all alike, without a look at classes; the same ones whatever gamma is."""
        drawn = rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:NYSTROEM])]
        shift, total, squares = drawn.mean(axis=0), np.zeros(rows.shape[1]), np.zeros(rows.shape[1])

        def work(block: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            Z = block - shift
            return Z.sum(axis=0, dtype=np.float64), np.einsum("nd,nd->d", Z, Z, dtype=np.float64)

        for one, two in sweep(rows, work, jobs):
            total += one
            squares += two
        mean = total / len(rows)
        scale = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))
        scale[scale <= CONSTANT] = 1
        mean += shift
        points = (drawn - mean) / scale
        with threadpool_limits(1):
            size, axes = eigh(np.exp(-gamma * squared_distances(points, points)), check_finite=False)
        kept = size > SURE * size[-1]
        projection = (axes[:, kept] / np.sqrt(size[kept])).T
        single = partial(np.asarray, dtype=np.float32)
        return cls(single(mean), single(scale), single(points), gamma, single(projection))

    def of(self, X: np.ndarray) -> np.ndarray:
        """(k, D) rows in these directions: (k, R)."""
        near = squared_distances((X - self.mean) / self.scale, self.points)
        near *= -np.float32(self.gamma)
        return np.exp(near, near) @ self.projection.T

    def arrays(self) -> dict[str, np.ndarray]:
        """As a head of arrays of the kind "nystroem" has them."""
        return {"landmarks": self.points, "gamma": np.array(self.gamma), "projection": self.projection}
