"""Figures on the test part, each with its n and its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.frame import COUNT, NUMBER, TEXT, frame
from classify.metrics.intervals import wilson, wilson_of_variance
from classify.metrics.reliability import brier, expected_calibration_error, log_loss

if TYPE_CHECKING:
    import pandas as pd


DENSE = 1_000  # classes up to which all of the confusion matrix is written
_RENAMED = {"ci_low": "recall_low", "ci_high": "recall_high"}


@dataclass(frozen=True)
class Evaluation:
    """How a head did on n rows.

    `accuracy` has the 95 % interval [ci_low, ci_high], `balanced_accuracy` (the mean recall of the classes
    that occur) [balanced_low, balanced_high]. `log_loss` is in nats, `brier` from 0 to 2, `ece` the expected
    calibration error, 0 to 1. (C,) in the order of `classes`: `precision`, `recall` with its interval
    [recall_low, recall_high], `f1`, `support`. `confusion` (C, C) counts true class (row) by predicted class
    (column).
    """

    n: int
    accuracy: float
    ci_low: float
    ci_high: float
    balanced_accuracy: float
    balanced_low: float
    balanced_high: float
    macro_f1: float
    log_loss: float
    brier: float
    ece: float
    classes: tuple[str, ...]
    precision: np.ndarray
    recall: np.ndarray
    recall_low: np.ndarray
    recall_high: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    confusion: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain Python values, classes by name."""
        per_class = {
            name: {"precision": p, "recall": r, "ci_low": low, "ci_high": high, "f1": f, "support": s}
            for name, p, r, low, high, f, s in zip(
                self.classes,
                self.precision.tolist(),
                self.recall.tolist(),
                self.recall_low.tolist(),
                self.recall_high.tolist(),
                self.f1.tolist(),
                self.support.tolist(),
                strict=True,
            )
        }
        return {name: getattr(self, name) for name in _SINGLE} | {
            "classes": per_class,
            "confusion": self._confusion().tolist(),
        }

    def _confusion(self) -> np.ndarray:
        """The matrix; of very many classes (true, predicted, count) of what occurred, which is little of it."""
        if len(self.classes) <= DENSE:
            return self.confusion
        found = np.nonzero(self.confusion)
        return np.stack([*found, self.confusion[found]], axis=1)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Evaluation:
        """Read what `to_json` returned."""
        per_class, read = content["classes"], {name: content[name] for name in _SINGLE}
        for name in ("precision", "recall", "ci_low", "ci_high", "f1", "support"):
            read[_RENAMED.get(name, name)] = np.array([each[name] for each in per_class.values()])
        confusion = np.array(content["confusion"])
        if len(per_class) > DENSE:
            row, column, count = confusion.reshape(-1, 3).T
            confusion = np.zeros((len(per_class), len(per_class)), np.int64)
            confusion[row, column] = count
        return cls(**read, classes=tuple(per_class), confusion=confusion)

    def to_frame(self) -> pd.DataFrame:
        """Return the classes as a DataFrame, one a row.

        Columns: `class` (object: text), `precision`, `recall` with its 95 % interval `ci_low`, `ci_high`, `f1`
        (float64, 0 to 1), `support` (int64, rows that are of the class).
        """
        measured = ("precision", "recall", "ci_low", "ci_high", "f1")
        columns = {"class": TEXT} | dict.fromkeys(measured, NUMBER) | {"support": COUNT}
        return frame(columns, [{"class": name} | each for name, each in self.to_json()["classes"].items()])


_SINGLE = (
    "n",
    "accuracy",
    "ci_low",
    "ci_high",
    "balanced_accuracy",
    "balanced_low",
    "balanced_high",
    "macro_f1",
    "log_loss",
    "brier",
    "ece",
)


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
    column = np.full(size, -1)
    column[np.searchsorted(names, classes)] = np.arange(len(classes))
    low, high = wilson(hit.sum(), n)
    recall_low, recall_high = wilson(hit, support)
    occurs = support > 0
    balanced = float(_ratio(hit, support)[occurs].mean())
    balanced_low, balanced_high = _balanced_interval(balanced, hit[occurs], support[occurs])
    return Evaluation(
        n=n,
        accuracy=float(hit.sum() / n),
        ci_low=float(low),
        ci_high=float(high),
        balanced_accuracy=balanced,
        balanced_low=balanced_low,
        balanced_high=balanced_high,
        macro_f1=float(f1[support + called > 0].mean()),
        log_loss=log_loss(probability, column[true_code]),
        brier=brier(probability, column[true_code]),
        ece=expected_calibration_error(probability.max(axis=1), predicted == truth),
        classes=tuple(names.tolist()),
        precision=_ratio(hit, called),
        recall=_ratio(hit, support),
        recall_low=recall_low,
        recall_high=recall_high,
        f1=f1,
        support=support,
        confusion=confusion,
    )


def _balanced_interval(balanced: float, hit: np.ndarray, support: np.ndarray) -> tuple[float, float]:
    """Wilson's interval at the effective sample size of a mean of recalls.

    Not a bootstrap: of a class whose few rows are all right it draws nothing but right ones, as if that were
    certain. Here each recall's variance is taken at (hits + 1) / (n + 2).
    """
    guess = (hit + 1) / (support + 2)
    variance = float((guess * (1 - guess) / support).sum()) / len(support) ** 2
    return wilson_of_variance(balanced, variance, float(guess.mean()))


def tie(a: Evaluation, b: Evaluation) -> bool:
    """Say whether the accuracy intervals of two heads overlap: the data do not tell them apart."""
    return a.ci_low <= b.ci_high and b.ci_low <= a.ci_high


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
