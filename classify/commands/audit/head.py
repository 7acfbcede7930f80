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

from classify.commands.audit.labelled import Labelled
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


def out_of_fold(data: Labelled, *, strengths: Sequence[float] = STRENGTHS, seed: int = 0) -> OutOfFold:
    """Cross-validate a logistic regression on rows that are scaled to length 1, part by part.

    Parameters
    ----------
    data : Labelled
        n pictures.
    strengths : sequence of float
        Tried; the one with the lowest calibrated log-loss is taken.
    seed : int
        Shuffles the folds.
    """
    probability = np.full((len(data.X), data.classes), np.nan, np.float32)
    rows = np.flatnonzero(data.learnable)
    names, codes = np.unique(data.label[rows], return_inverse=True)
    if len(names) < 2:
        return OutOfFold(probability, strengths[0])
    folds = cross_validation_folds(codes, FOLDS, seed, data.group[rows])
    template = HEADS["logreg"].make().set_params(scale=LengthScaler(data.widths), classify__tol=TOLERANCE)
    candidates = [(number, {"C": strength}) for number, strength in enumerate(strengths)]
    board = Scoreboard(len(strengths), folds, codes, len(names), None, time.perf_counter, None)
    if run(logistic(Work(template, candidates, data.X[rows], codes, len(names), folds)), board, None):
        raise KeyboardInterrupt
    temperatures = [fit_temperature(scores, codes) for scores in board.scores]
    found = [softmax(s / t, axis=1) for s, t in zip(board.scores, temperatures, strict=True)]
    losses = [-np.log(np.maximum(p[np.arange(len(codes)), codes], 1e-12)).mean() for p in found]
    best = int(np.argmin(losses))
    probability[rows] = 0
    probability[rows[:, None], names] = found[best]
    return OutOfFold(probability, strengths[best])
