"""Figures on the test part, each with its n and its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


@dataclass(frozen=True)
class Evaluation:
    """How a head did on n rows.

    `accuracy` has the 95 % interval [ci_low, ci_high]; `log_loss` is in nats; `precision`, `recall`, `f1`
    (C,) and `support` (C,) follow `classes`; `confusion` (C, C) counts true class (row) by predicted class
    (column).
    """

    n: int
    accuracy: float
    ci_low: float
    ci_high: float
    macro_f1: float
    log_loss: float
    classes: tuple[str, ...]
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    confusion: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain Python values, classes by name."""
        per_class = {
            name: {"precision": p, "recall": r, "f1": f, "support": s}
            for name, p, r, f, s in zip(
                self.classes,
                self.precision.tolist(),
                self.recall.tolist(),
                self.f1.tolist(),
                self.support.tolist(),
                strict=True,
            )
        }
        single = ("n", "accuracy", "ci_low", "ci_high", "macro_f1", "log_loss")
        return {name: getattr(self, name) for name in single} | {
            "classes": per_class,
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    truth: np.ndarray, predicted: np.ndarray, probability: np.ndarray, classes: np.ndarray
) -> Evaluation:
    """Compare predictions with the truth.

    Parameters
    ----------
    truth, predicted : (n,) arrays of class names
        A true class the head never saw counts as an error, with probability 0.
    probability : (n, K) float array
    classes : (K,) array of the head's class names, in column order

    Returns
    -------
    evaluation : Evaluation
        Over every class that the head knows or that occurs. As in scikit-learn, the macro-F1 averages the
        classes that occur or were predicted, undefined ratios count as 0, and probabilities are clipped at
        2.2e-16.
    """
    n = len(truth)
    names = np.unique(np.concatenate([classes, truth]))
    size = len(names)
    true_code, predicted_code = np.searchsorted(names, truth), np.searchsorted(names, predicted)
    confusion = np.bincount(true_code * size + predicted_code, minlength=size**2).reshape(size, size)
    hit, support, called = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = _ratio(2 * hit, support + called)
    full = np.zeros((n, size))
    full[:, np.searchsorted(names, classes)] = probability
    own = np.clip(full[np.arange(n), true_code], np.finfo(np.float64).eps, 1)
    low, high = wilson(int(hit.sum()), n)
    return Evaluation(
        n=n,
        accuracy=float(hit.sum() / n),
        ci_low=low,
        ci_high=high,
        macro_f1=float(f1[support + called > 0].mean()),
        log_loss=float(-np.log(own).mean()),
        classes=tuple(names.tolist()),
        precision=_ratio(hit, called),
        recall=_ratio(hit, support),
        f1=f1,
        support=support,
        confusion=confusion,
    )


def wilson(hits: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Return the score interval of a proportion `hits / n`.

    Wilson 1927, J. Am. Stat. Assoc. 22(158):209-212: the p for which |hits/n - p| <= z * sqrt(p * (1 - p) /
    n). Unlike the normal approximation it stays inside [0, 1] and holds near 0 and 1.
    """
    p, square = hits / n, z * z
    centre = (p + square / (2 * n)) / (1 + square / n)
    half = z / (1 + square / n) * sqrt(p * (1 - p) / n + square / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def tie(a: Evaluation, b: Evaluation) -> bool:
    """Say whether the accuracy intervals of two heads overlap: the data do not tell them apart."""
    return a.ci_low <= b.ci_high and b.ci_low <= a.ci_high


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
