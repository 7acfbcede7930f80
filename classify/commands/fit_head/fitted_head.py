"""One head from embeddings to figures: search, calibrate, read the test part once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cache.errors import UserError
from cache.versions import now
from classify.commands.fit_head.leaderboard import HeadResult
from classify.commands.fit_head.stages import Stages
from classify.data.division import Division
from classify.heads.calibration import CalibratedHead, fit_temperature
from classify.heads.search import SearchOptions, SearchResult, search
from classify.heads.table import Head
from classify.heads.users_code import users_code
from classify.metrics.evaluation import evaluate
from classify.metrics.reliability import Calibration, calibration

if TYPE_CHECKING:
    from classify.commands.fit_head.options import FitOptions


@dataclass(frozen=True)
class FittedHead:
    """A head with its line of the leaderboard and its answers on the m test rows."""

    head: CalibratedHead
    rank: int
    result: HeadResult
    predicted: np.ndarray  # (m,) class names
    probability: np.ndarray  # (m,) of the predicted class
    calibration: Mapping[str, Calibration]  # "out of fold" and "test part"
    found: SearchResult
    tested: str  # when the test part was read, ISO 8601


def fit_one(
    head: Head,
    division: Division,
    options: FitOptions,
    seconds: float | None,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.perf_counter,
    stages: Stages | None = None,
) -> FittedHead:
    """Choose a head's settings on the training part, calibrate it there, then test it.

    Parameters
    ----------
    head : Head
    division : Division
    options : FitOptions
    seconds : float or None
        After that the search begins no further fit.
    say : callable (line of text)
        Told of the outcome.
    clock : callable () -> float
    stages : Stages, optional
        Told of how far it is.
    """
    start, stages = clock(), stages or Stages()
    stages.search(head.name, division, options)
    try:
        how = SearchOptions(
            options.folds, options.seed, options.n_jobs, seconds, clock, stages.course.step, stages.refit
        )
        with users_code(head.name):
            found = search(head, division, how)
    except MemoryError as error:
        if options.hidden is None or not head.name.startswith("mlp"):
            raise
        widths = ",".join(map(str, options.hidden))
        raise UserError(
            f"Expected --hidden with layers that fit into memory, received {widths} on rows of width "
            f"{division.X.shape[1]:,}: {error}. Name narrower layers."
        ) from error
    codes = np.searchsorted(found.classes, division.y)
    calibrated = CalibratedHead(found.pipeline, fit_temperature(found.scores, codes))
    taken = clock() - start
    say(f"{head.name}: cross-validated accuracy {found.cv_accuracy:.1%} in {taken:.1f} s")
    stages.test(division)

    tested = now()
    scores = calibrated.scores(division.X_test)
    probability = calibrated.probabilities(scores)
    predicted = calibrated.classes_[scores.argmax(axis=1)]
    evaluation = evaluate(division.truth, predicted, probability, calibrated.classes_)
    places = np.minimum(np.searchsorted(found.classes, division.truth), len(found.classes) - 1)
    known = np.where(found.classes[places] == division.truth, places, -1)
    return FittedHead(
        head=calibrated,
        rank=head.rank,
        result=HeadResult(head.name, found.settings, found.cv_accuracy, found.cv_std, evaluation, taken),
        predicted=predicted,
        probability=probability.max(axis=1),
        calibration={
            "out of fold": calibration(found.scores, codes, calibrated.temperature, seed=options.seed),
            "test part": calibration(scores, known, calibrated.temperature, seed=options.seed),
        },
        found=found,
        tested=tested,
    )
