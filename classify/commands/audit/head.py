"""A quick head of the audit's own: out-of-fold probabilities by a logistic regression.

Axes: n pictures, D features, C classes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from classify.commands.audit.kinds.labels import FEWEST
from classify.heads.calibration import fit_temperature
from classify.heads.fitting.fitters import logistic
from classify.heads.fitting.scaling import LengthScaler
from classify.heads.fitting.tasks import Work
from classify.heads.folds import cross_validation_folds
from classify.heads.scoreboard import Scoreboard, run
from classify.heads.table import HEADS

FOLDS = 5
# Stronger than what is best for accuracy: a head that can learn a wrong label by heart finds no wrong label.
STRENGTHS = (1e-3, 1e-2)
TOLERANCE = 1e-2  # of the gradient: 100 times closer changed no precision on planted errors


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What the head says of n pictures, each by a model that had not seen it."""

    probability: NDArray[
        np.float32
    ]  # (n, C), calibrated; NaN for pictures without a label, or of a class too small
    strength: float  # C of the regression, the one with the lowest log-loss


def learnable(label: NDArray[np.integer], group: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Tell which labels (n,) are of classes that occur in at least `FEWEST` groups, and so in each fold: (n,) bool."""
    pairs = np.unique(np.stack([label, group]), axis=1)
    large = [
        code for code, count in zip(*np.unique(pairs[0], return_counts=True), strict=True) if count >= FEWEST
    ]
    return (label >= 0) & np.isin(label, large)


def out_of_fold(
    X: NDArray[np.float32],
    widths: Sequence[int],
    label: NDArray[np.integer],
    group: NDArray[np.integer],
    classes: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> OutOfFold:
    """Cross-validate a logistic regression on rows that are scaled to length 1, part by part.

    Parameters
    ----------
    X : (n, D) float32
    widths : sequence of int
        Columns of each part of a row.
    label : (n,) int, -1 for none
    group : (n,) int
        Pictures that stay in one fold.
    classes : int
        C.
    strengths : sequence of float
        Tried; the one with the lowest calibrated log-loss is taken.
    seed : int
        Shuffles the folds.
    """
    probability = np.full((len(X), classes), np.nan, np.float32)
    rows = np.flatnonzero(learnable(label, group))
    names, codes = np.unique(label[rows], return_inverse=True)
    if len(names) < 2:
        return OutOfFold(probability, strengths[0])
    folds = cross_validation_folds(codes, FOLDS, seed, group[rows])
    template = HEADS["logreg"].make().set_params(scale=LengthScaler(tuple(widths)), classify__tol=TOLERANCE)
    candidates = [(number, {"C": strength}) for number, strength in enumerate(strengths)]
    board = Scoreboard(len(strengths), folds, codes, len(names), None, time.perf_counter, None)
    if run(logistic(Work(template, candidates, X[rows], codes, len(names), folds)), board, None):
        raise KeyboardInterrupt
    temperatures = [fit_temperature(scores, codes) for scores in board.scores]
    found = [softmax(s / t, axis=1) for s, t in zip(board.scores, temperatures, strict=True)]
    losses = [-np.log(np.maximum(p[np.arange(len(codes)), codes], 1e-12)).mean() for p in found]
    best = int(np.argmin(losses))
    probability[rows] = 0
    probability[rows[:, None], names] = found[best]
    return OutOfFold(probability, strengths[best])
