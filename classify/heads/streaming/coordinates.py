"""Coordinates in which many linear classifiers are round: what they lose bends alike in every direction.

Axes: D features, P problems, K columns of scores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

LEAST = 0.02  # of a curvature, as a part of what the spread of the rows alone would make of it
FLAT = 1e-4  # no curvature is less


@dataclass(frozen=True)
class Coordinates:
    """Unknowns (P, K, D + 1), the intercept last: along axes of the rows, each in a unit of its own.

    Intercepts are scores at `centre`, so that what a kernel does to them is the same at all times.
    """

    axes: np.ndarray  # (D, D) float32, an axis of the rows a column
    centre: np.ndarray  # (P, K, D) float32, along the axes of the rows
    unit: np.ndarray  # (P, K, D + 1) float32, one over the root of the curvature

    @classmethod
    def of(
        cls,
        axes: np.ndarray,
        spread: np.ndarray,
        level: np.ndarray,
        first: np.ndarray,
        second: np.ndarray,
        ridge: np.ndarray,
        penalised: bool,
    ) -> Coordinates:
        """Coordinates in units of these curvatures.

        Parameters
        ----------
        spread : (D,)
            Mean square of the rows along each of `axes`.
        level : (P, K)
            Mean second derivative of the loss by each score.
        first, second : (P, K, D)
            The same times where the rows are along each axis, and times the square of that.
        ridge : (P,)
        penalised : bool
            Whether the intercept is.
        """
        level = np.maximum(level, np.maximum(LEAST * level.max(axis=1, keepdims=True), FLAT))
        centre = first / level[..., None]
        bend = np.maximum(second - centre * first, LEAST * level[..., None] * spread) + ridge[:, None, None]
        last = level + ridge[:, None] * penalised
        unit = 1 / np.sqrt(np.concatenate([bend, last[..., None]], axis=2))
        return cls(axes, *(each.astype(np.float32) for each in (centre, unit)))

    def some(self, active: np.ndarray) -> Coordinates:
        """Those of some problems."""
        return replace(self, centre=self.centre[active], unit=self.unit[active])

    def kernels(self, U: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kernels (P, K, D) and intercepts (P, K) at these unknowns."""
        flat = self._flat(U)
        return _product(flat[..., :-1], self.axes.T), flat[..., -1]

    def gradient(self, by_kernel: np.ndarray, by_intercept: np.ndarray) -> np.ndarray:
        """The gradient by the unknowns of what has one (P, K, D) by the kernels, and (P, K) by the intercepts."""
        return self._pulled(np.concatenate([_product(by_kernel, self.axes), by_intercept[..., None]], axis=2))

    def unknowns(self, U: np.ndarray, before: Coordinates) -> np.ndarray:
        """Take unknowns of other coordinates, on the same axes of the rows, to these."""
        V = before._flat(U)
        V[..., -1] += np.einsum("pkd,pkd->pk", V[..., :-1], self.centre)
        return V / self.unit

    def changes(self, change: np.ndarray, before: Coordinates) -> np.ndarray:
        """Take changes of a gradient by other unknowns to these."""
        V = change / before.unit
        V[..., :-1] += before.centre * V[..., -1:]
        return self._pulled(V)

    def _flat(self, U: np.ndarray) -> np.ndarray:
        V = U * self.unit
        V[..., -1] -= np.einsum("pkd,pkd->pk", V[..., :-1], self.centre)
        return V

    def _pulled(self, V: np.ndarray) -> np.ndarray:
        V[..., :-1] -= self.centre * V[..., -1:]
        return V * self.unit


def _product(stack: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(P, K, D) times (D, E), as a single product."""
    return (stack.reshape(-1, stack.shape[2]) @ matrix).reshape(*stack.shape[:2], -1)
