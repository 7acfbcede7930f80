"""Linear heads as one matrix product, so that a network can end in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax

from classify.heads.arrays import ArrayHead
from classify.heads.as_arrays import as_arrays
from classify.heads.fitting import logistic

if TYPE_CHECKING:
    from classify.heads.calibration import CalibratedHead

_FOLDS = 3
_STRENGTHS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)  # of regularisation, C; around those that `logreg` chooses
_NEGLIGIBLE = 1e-3  # a probability that teaches nothing a row's others do not


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Logits of C classes as scaled(X) @ kernel + bias; the probabilities are their softmax.

    `scaling` is what happens to each row first: nothing, division by its length, or the signed square root. Of a row
    with several `widths`, each part of it is divided by its own length.
    Standardising, the length sqrt(D) of `LengthScaler` and the temperature are part of kernel and bias.
    """

    scaling: str  # "none", "length" or "root"
    kernel: np.ndarray  # (D, C) float32
    bias: np.ndarray  # (C,) float32
    classes: tuple[str, ...]
    widths: tuple[int, ...] = ()

    def logits(self, X: np.ndarray) -> np.ndarray:
        """(n, D) float embeddings to (n, C) float64."""
        return scale_rows(X, self.scaling, self.widths).astype(np.float64) @ self.kernel + self.bias


def scale_rows(X: np.ndarray, scaling: str, widths: Sequence[int] = ()) -> np.ndarray:
    """Do what a `LinearHead` does to each row of (n, D) first; a row, or part of one, of zeros stays."""
    if scaling == "length" and widths:
        parts = np.split(X, np.cumsum(widths)[:-1], axis=1)
        return np.hstack([scale_rows(part, scaling) for part in parts])
    if scaling == "length":
        length = np.linalg.norm(X, axis=1, keepdims=True)
        return X / np.where(length > 0, length, 1)
    return np.sign(X) * np.sqrt(np.abs(X)) if scaling == "root" else X


def fold(head: CalibratedHead | ArrayHead) -> LinearHead | None:
    """Fold scaling, classifier and temperature of a head into one matrix.

    Returns
    -------
    LinearHead or None
        Its logits are the head's scores / temperature, but for a term that all classes of a row share, which
        changes no probability. None where the scores are not linear in the scaled embedding, or the Pipeline
        has steps that `as_arrays` does not know.
    """
    written = as_arrays(head)
    found = None if written is None else _coefficients(written)
    if written is None or found is None:
        return None
    scaling, mean, scale = row_scaling(written)
    kernel, bias = found  # (D, K), (K,), of scaled features
    if kernel.shape[1] == 1:  # of two classes the first scores 0
        kernel = np.hstack([np.zeros_like(kernel), kernel])
        bias = np.concatenate([np.zeros(1), bias])
    kernel = kernel / scale[:, None]
    bias = bias - mean @ kernel
    return LinearHead(
        scaling,
        (kernel / written.temperature).astype(np.float32),
        (bias / written.temperature).astype(np.float32),
        tuple(written.classes_.tolist()),
        written.widths,
    )


def row_scaling(head: ArrayHead) -> tuple[str, np.ndarray, np.ndarray]:
    """Split a head's scaling into a `LinearHead.scaling` and a shift and factor a feature.

    Returns
    -------
    scaling, mean (D,), scale (D,)
        The classifier sees (scale_rows(X, scaling, widths) - mean) / scale.
    """
    width, widths = head.n_features_in_, head.widths
    mean, scale = np.zeros(width), np.ones(width)
    if head.scaling == "length":
        return "length", mean, scale / np.sqrt(np.repeat(widths, widths) if widths else width)
    if head.mean is not None and head.scale is not None:
        mean, scale = head.mean, head.scale
    return ("root" if head.scaling == "root" else "none"), mean, scale


def _coefficients(head: ArrayHead) -> tuple[np.ndarray, np.ndarray] | None:
    """Kernel (D, K) and bias (K,) of scores that are linear in the scaled row."""
    arrays = head.arrays
    if head.kind == "centroids":
        # -|x - c|^2 / 2 is x.c - |c|^2 / 2 but for a term without c. What all centroids share cancels as well,
        # and leaves smaller numbers to round.
        centroids = arrays["centroids"].astype(np.float64)
        return (centroids - centroids.mean(axis=0)).T, -0.5 * (centroids**2).sum(axis=1)
    # Several duels do not make a linear score, a single one does.
    if head.kind == "linear" or (head.kind == "duels" and len(head.classes_) == 2):
        return arrays["coef"].T.astype(np.float64), arrays["intercept"].astype(np.float64)
    return None


def distil(
    head: CalibratedHead | ArrayHead, X: np.ndarray, scalings: Sequence[str] = ("none", "root")
) -> LinearHead:
    """Teach a linear head to answer as another head does: multinomial logistic regression on its probabilities.

    Scaling and strength are those that come nearest to the head's probabilities on rows left out of the fit
    (cross-entropy). Distillation is Hinton, Vinyals and Dean 2015, arXiv 1503.02531, at the head's own
    temperature.

    Parameters
    ----------
    head : CalibratedHead or ArrayHead
    X : (n, D) float array
        Embeddings that the head was trained on; labels are not needed.
    scalings : sequence of str
        To choose from: "none" (standardised), "root" (root, then standardised).

    Returns
    -------
    LinearHead
    """
    target = head.predict_proba(X)
    # As the solver takes one class a row, a row stands once for each class the head thinks possible.
    rows, codes = np.nonzero(target > min(_NEGLIGIBLE, 1 / target.shape[1]))
    weight = target[rows, codes]
    held = np.random.default_rng(0).permutation(len(X)) % _FOLDS
    splits = [(np.flatnonzero(held[rows] != number), held == number) for number in range(_FOLDS)]
    losses: dict[tuple[str, float], float] = {}
    for scaling in scalings:
        Z, least = scale_rows(X, scaling).astype(np.float32), np.inf
        for strength in _STRENGTHS:
            fits = [fitted for fitted, _ in splits]
            found = _solve(Z[rows], codes, target.shape[1], fits, strength, weight, tol=1e-3)
            losses[scaling, strength] = loss = sum(
                _cross_entropy(target[left], Z[left] @ kernel + bias)
                for (_, left), (kernel, bias) in zip(splits, found, strict=True)
            )
            if loss > least:  # the weaker ones are worse still, and take longest
                break
            least = loss
    scaling, strength = min(losses, key=lambda tried: losses[tried])
    Z = scale_rows(X, scaling).astype(np.float32)
    ((kernel, bias),) = _solve(Z[rows], codes, target.shape[1], [np.arange(len(rows))], strength, weight)
    return LinearHead(scaling, kernel, bias, tuple(head.classes_.tolist()))


def _solve(
    Z: np.ndarray,
    codes: np.ndarray,
    classes: int,
    fits: list[np.ndarray],
    strength: float,
    weight: np.ndarray,
    tol: float = 1e-4,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fit one logistic regression for each of `fits`: kernel (D, C) and bias (C,) float32 of each."""
    strengths = [strength] * len(fits)
    kernels, biases = logistic.solve(
        Z, codes, classes, fits, strengths, standardise=True, weight=weight, tol=tol
    )
    if classes == 2:
        kernels = np.concatenate([np.zeros_like(kernels), kernels], axis=2)
        biases = np.concatenate([np.zeros_like(biases), biases], axis=1)
    return list(zip(np.ascontiguousarray(kernels), biases, strict=True))


def _cross_entropy(target: np.ndarray, logits: np.ndarray) -> float:
    return -float((target * log_softmax(logits.astype(np.float64), axis=1)).sum())
