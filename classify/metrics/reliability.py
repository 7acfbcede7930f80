"""Whether probabilities mean what they say: Brier score, calibration error, log-loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from classify.metrics.intervals import wilson

BINS = 15  # as in Guo et al. 2017
ROWS_A_BIN = 20  # fewer bins below 300 rows: a bin of few rows errs by chance alone
DRAWS = 200  # imagined data sets of a perfectly calibrated head
SHOWN = 10  # bins that people look at, each 0.1 wide


@dataclass(frozen=True)
class Reliability:
    """How the probabilities of n rows compare with what happened.

    `log_loss` in nats; `brier` 0 to 2; `ece` 0 to 1, and [`chance_low`, `chance_high`] is the 95 % range that
    a perfectly calibrated head with these confidences would show on n rows. To look at, (10,) by steps of 0.1
    of the confidence: `count`, and where that is not 0 the mean `confidence` and the `accuracy` with its
    interval [`low`, `high`] (Wilson).
    """

    n: int
    log_loss: float
    brier: float
    ece: float
    chance_low: float
    chance_high: float
    confidence: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain Python values."""
        return {name: getattr(self, name) for name in ("n", "log_loss", "brier", "ece")} | {
            "ece_by_chance": [self.chance_low, self.chance_high],
            "bins": {
                name: getattr(self, name).tolist()
                for name in ("confidence", "accuracy", "low", "high", "count")
            },
        }


@dataclass(frozen=True)
class Calibration:
    """The same rows with temperature 1 (`before`) and with the head's `temperature` (`after`)."""

    temperature: float
    before: Reliability
    after: Reliability

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain Python values."""
        return {
            "temperature": self.temperature,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
        }


def calibration(scores: np.ndarray, codes: np.ndarray, temperature: float, *, seed: int = 0) -> Calibration:
    """Compare softmax(scores) and softmax(scores / temperature) with the truth.

    On the out-of-fold scores that the temperature was chosen on, "after" is too good by the freedom of one
    parameter, about 1 / (2 n) nats; on the test part by nothing.

    Parameters
    ----------
    scores : (n, C) float array
        -inf where a fold's model lacked the class.
    codes : (n,) int array
        Column of each row's own class; -1 for a class that the head does not know.
    temperature : float
    seed : int
        Of the imagined data sets.
    """
    scores = scores.astype(np.float64)
    before, after = (
        reliability(softmax(scores / each, axis=1), codes, seed=seed) for each in (1.0, temperature)
    )
    return Calibration(temperature, before, after)


def reliability(probability: np.ndarray, codes: np.ndarray, *, seed: int = 0) -> Reliability:
    """Measure probabilities (n, C) against the column of each row's own class, (n,); -1 for none."""
    n = len(codes)
    confidence, hit = probability.max(axis=1), probability.argmax(axis=1) == codes
    ordered = np.sort(confidence)
    starts = _starts(ordered)
    called = np.add.reduceat(ordered, starts)
    rng = np.random.default_rng(seed)
    chance = [_gap(rng.random(n) < ordered, called, starts) for _ in range(DRAWS)]
    bin_ = np.minimum((confidence * SHOWN).astype(int), SHOWN - 1)
    count = np.bincount(bin_, minlength=SHOWN)
    right, sure = (np.bincount(bin_, each, SHOWN) for each in (hit.astype(np.float64), confidence))
    low, high = wilson(right, count)
    return Reliability(
        n=n,
        log_loss=log_loss(probability, codes),
        brier=brier(probability, codes),
        ece=expected_calibration_error(confidence, hit),
        chance_low=float(np.quantile(chance, 0.025)),
        chance_high=float(np.quantile(chance, 0.975)),
        confidence=sure / np.maximum(count, 1),
        accuracy=right / np.maximum(count, 1),
        low=low,
        high=high,
        count=count,
    )


def expected_calibration_error(confidence: np.ndarray, hit: np.ndarray) -> float:
    """Average how far accuracy and confidence are apart, in bins of equal numbers of rows; 0 to 1.

    Guo et al. 2017, arXiv 1706.04599, equation 3, with 15 bins of equal mass as in Nguyen and O'Connor 2015
    (arXiv 1508.05154): with bins of equal width nearly all rows of a good head share the last one, and the
    error is estimated with more bias (Roelofs et al. 2022, arXiv 2012.08668). Below 300 rows there are fewer
    bins; rows of one confidence share a bin.

    Parameters
    ----------
    confidence : (n,) float array
        Probability of the predicted class.
    hit : (n,) bool array
        Whether the prediction is right.
    """
    order = np.argsort(confidence, kind="stable")
    starts = _starts(confidence[order])
    return _gap(hit[order], np.add.reduceat(confidence[order], starts), starts)


def brier(probability: np.ndarray, codes: np.ndarray) -> float:
    """Average the squared distance of (n, C) probabilities from the truth: mean of sum_c (p_c - y_c)^2.

    From 0 to 2 (Brier 1950, Monthly Weather Review 78:1-3; scikit-learn's brier_score_loss with
    scale_by_half=False). A code of -1 is a class without a column.
    """
    own = _own(probability, codes)
    return float((np.square(probability).sum(axis=1) - 2 * own + 1).mean())


def log_loss(probability: np.ndarray, codes: np.ndarray) -> float:
    """Average -log of each row's own probability, in nats, clipped at 2.2e-16 as in scikit-learn."""
    return float(-np.log(np.clip(_own(probability, codes), np.finfo(np.float64).eps, 1)).mean())


def _own(probability: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.where(codes >= 0, probability[np.arange(len(codes)), codes], 0.0)


def _starts(confidence: np.ndarray) -> np.ndarray:
    """Where each bin starts in ascending confidences; equal ones are not torn apart."""
    n = len(confidence)
    bins = int(np.clip(n // ROWS_A_BIN, 1, BINS))
    cuts = confidence[np.arange(bins) * n // bins]
    return np.unique(np.searchsorted(confidence, cuts, side="left"))


def _gap(hit: np.ndarray, called: np.ndarray, starts: np.ndarray) -> float:
    return float(np.abs(np.add.reduceat(hit.astype(np.float64), starts) - called).sum() / len(hit))
