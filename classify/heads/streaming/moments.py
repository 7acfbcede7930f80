"""Sums over rows: all that centroid, lda and ridge need of them, gathered fold by fold in one pass.

Axes: D features, K classes, F folds. All sums are of rows less `shift`, so that squares do not drown what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from classify.data.rows.blocks import Rows, sweep

CONSTANT = 10 * np.finfo(np.float32).eps  # a deviation that is rounding


@dataclass(frozen=True)
class Moments:
    """Of some rows, float64. The first three count rows alike, the others by weight."""

    shift: np.ndarray  # (D,) float32
    n: float
    total: np.ndarray  # (D,)
    squares: np.ndarray  # (D,)
    mass: np.ndarray  # (K,) weight of each class
    sums: np.ndarray  # (K, D)
    products: np.ndarray  # (D, D)

    def __add__(self, other: Moments) -> Moments:
        sums = {name: getattr(self, name) + getattr(other, name) for name in _SUMS}
        return replace(self, **sums)

    def __sub__(self, other: Moments) -> Moments:
        sums = {name: getattr(self, name) - getattr(other, name) for name in _SUMS}
        return replace(self, **sums)

    def grown(self, other: Moments) -> Moments:
        """The sum with others, in the arrays of these."""
        for name in _SUMS:
            if name != "n":
                total = getattr(self, name)
                total += getattr(other, name)
        return replace(self, n=self.n + other.n)

    @property
    def mean(self) -> np.ndarray:
        """(D,), of rows less `shift`."""
        return self.total / self.n

    @property
    def deviation(self) -> np.ndarray:
        """(D,), 1 for a constant feature, as in StandardScaler."""
        found = np.sqrt(np.maximum(self.squares / self.n - self.mean**2, 0))
        found[found <= CONSTANT] = 1
        return found

    @property
    def covariance(self) -> np.ndarray:
        """(D, D), by weight."""
        centre = self.sums.sum(axis=0) / self.mass.sum()
        return self.products / self.mass.sum() - np.outer(centre, centre)

    def over(self, scale: np.ndarray) -> Moments:
        """Of rows whose features are divided by `scale` (D,)."""
        return replace(
            self,
            total=self.total / scale,
            squares=self.squares / scale**2,
            sums=self.sums / scale,
            products=self.products / scale / scale[:, None],
        )


_SUMS = [field.name for field in fields(Moments) if field.name != "shift"]


def gather(
    rows: Rows,
    codes: np.ndarray,
    fold: np.ndarray,
    weight: np.ndarray | None,
    *,
    jobs: int | None = None,
) -> Sequence[Moments]:
    """Gather the moments of each fold of n rows in one pass.

    Parameters
    ----------
    rows : n rows
    codes, fold : (n,) int
        Class and fold of each, all numbers from 0 on.
    weight : (n,) float, optional
    """
    classes, folds = int(codes.max()) + 1, int(fold.max()) + 1
    shift = rows[np.linspace(0, len(codes) - 1, min(len(codes), 1000)).astype(np.intp)].mean(axis=0)

    def work(block: np.ndarray, places: np.ndarray) -> list[Moments]:
        Z = block - shift
        return [
            _of(Z[own], codes[places[own]], None if weight is None else weight[places[own]], shift, classes)
            for own in (np.flatnonzero(fold[places] == number) for number in range(folds))
        ]

    found: list[Moments] | None = None
    for moments in sweep(rows, work, jobs):
        if found is None:
            found = [replace(each, products=each.products.astype(np.float64)) for each in moments]
        else:
            found = [total.grown(each) for total, each in zip(found, moments, strict=True)]
    assert found is not None
    return found


def _of(
    Z: np.ndarray, codes: np.ndarray, weight: np.ndarray | None, shift: np.ndarray, classes: int
) -> Moments:
    """Products stay float32, as long as a block; what is added up of blocks is float64."""
    own = (codes == np.arange(classes)[:, None]).astype(np.float32)  # (K, k)
    squares, W, total = np.einsum("nd,nd->d", Z, Z, dtype=np.float64), Z, own @ Z
    sums = total
    if weight is not None:
        own = own * weight.astype(np.float32)
        W, sums = Z * np.sqrt(weight, dtype=np.float32)[:, None], own @ Z
    return Moments(
        shift=shift,
        n=float(len(Z)),
        total=total.sum(axis=0, dtype=np.float64),
        squares=squares,
        mass=own.sum(axis=1, dtype=np.float64),
        sums=sums.astype(np.float64),
        products=W.T @ W,
    )
