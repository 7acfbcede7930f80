"""Heads from embeddings to figures: search, calibrate, read the test part once, and log that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cache.errors import UserError
from cache.versions import now
from classify.commands.fit_head.leaderboard import HeadResult
from classify.commands.fit_head.options import BUDGET, FitOptions
from classify.commands.fit_head.stages import Stages
from classify.data.division import Division
from classify.data.rows.blocks import Rows, by_blocks
from classify.data.rows.streamed import Streamed
from classify.data.splits import TEST, TRAIN, VAL
from classify.heads.arrays import ArrayHead
from classify.heads.calibration import CalibratedHead, calibrated, fit_temperature
from classify.heads.search import SearchOptions, SearchResult
from classify.heads.streaming.search import search_rows
from classify.heads.table import Head
from classify.heads.users_code import users_code
from classify.limits.checked import Checked, check_limits
from classify.limits.learned import Limits
from classify.metrics.evaluation import evaluate
from classify.metrics.reliability import Calibration, calibration
from classify.runs.inputs import Input, of_blocks
from classify.runs.readings import Log, Reading
from classify.runs.scores import Answers, Scores


@dataclass(frozen=True)
class FittedHead:
    """A head with its line of the leaderboard and its answers on the m test rows."""

    head: CalibratedHead | ArrayHead
    rank: int
    result: HeadResult
    predicted: np.ndarray  # (m,) class names
    answers: np.ndarray  # (m, C) probabilities
    calibration: Mapping[str, Calibration]  # "out of fold" and "test part"
    found: SearchResult
    inputs: tuple[Input, ...]  # what of which spaces the head takes
    tested: str  # when the test part was read, ISO 8601

    @property
    def probability(self) -> np.ndarray:
        """(m,) of the predicted class."""
        return self.answers.max(axis=1)

    def scores(self, division: Division) -> Scores:
        """What it says of each picture, the training pictures out of fold."""
        part, found = division.split.part, self.found
        train, val, test = (np.flatnonzero(part == code) for code in (TRAIN, VAL, TEST))
        fold = np.full(len(train), -1)
        for number, (_, held) in enumerate(found.folds):
            fold[held] = number
        answers = [
            Answers("train", train, self.head.probabilities(found.scores), fold),
            Answers("test", test, self.answers),
        ]
        if len(val):
            scores = scores_of(self.head, found.columns.of(division.rows), val)
            answers.append(Answers("val", val, self.head.probabilities(scores)))
        return Scores.of(division, self.head.classes_.tolist(), answers)

    def limits(self, division: Division, seed: int) -> tuple[Limits, Checked]:
        """How far it may be trusted, learned out of fold, and what became of that on the test part."""
        columns, found = self.found.columns, self.found
        stops = np.cumsum(columns.widths).tolist()
        spans = list(zip([0, *stops], stops, strict=False))
        codes, apart = np.searchsorted(found.classes, division.y), self.head.probabilities(found.scores)
        limits = Limits.learn(columns.of(division.X), codes, apart, division.group, spans, seed)
        rows, classes = columns.of(division.X_test), self.head.classes_.tolist()
        return limits, check_limits(limits, classes, division.truth, self.answers, rows)


def fit_one(
    head: Head,
    division: Division,
    options: FitOptions,
    seconds: float | None,
    say: Callable[[str], None],
    how: SearchOptions,
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
    how : SearchOptions
    stages : Stages, optional
        Told of how far it is.
    """
    start, stages = how.clock(), stages or Stages()
    stages.search(head.name, division, options)
    try:
        with users_code(head.name):
            found = search_rows(head, division, replace(how, seconds=seconds, on_refit=stages.refit))
    except MemoryError as error:
        if options.hidden is None or not head.name.startswith("mlp"):
            raise
        widths = ",".join(map(str, options.hidden))
        raise UserError(
            f"Expected --hidden with layers that fit into memory, received {widths} on rows of width "
            f"{division.X.shape[1]:,}: {error}. Name narrower layers."
        ) from error
    codes = np.searchsorted(found.classes, division.y)
    fitted = calibrated(found.pipeline, fit_temperature(found.scores, codes))
    taken = how.clock() - start
    say(f"{head.name}: cross-validated accuracy {found.cv_accuracy:.1%} in {taken:.1f} s")
    stages.test(division)

    tested = now()
    scores = scores_of(fitted, found.columns.of(division.X_test))
    probability = fitted.probabilities(scores)
    predicted = fitted.classes_[scores.argmax(axis=1)]
    evaluation = evaluate(division.truth, predicted, probability, fitted.classes_)
    places = np.minimum(np.searchsorted(found.classes, division.truth), len(found.classes) - 1)
    known = np.where(found.classes[places] == division.truth, places, -1)
    return FittedHead(
        head=fitted,
        rank=head.rank,
        result=HeadResult(head.name, found.settings, found.cv_accuracy, found.cv_std, evaluation, taken),
        predicted=predicted,
        answers=probability,
        calibration={
            "out of fold": calibration(found.scores, codes, fitted.temperature, seed=options.seed),
            "test part": calibration(scores, known, fitted.temperature, seed=options.seed),
        },
        found=found,
        inputs=of_blocks([b for b in division.data.blocks if (b.start, b.stop) in found.columns.spans]),
        tested=tested,
    )


def scores_of(head: CalibratedHead | ArrayHead, rows: Rows, some: np.ndarray | None = None) -> np.ndarray:
    """Score rows, or some of them, in blocks: (n, C) float64."""
    if some is not None:
        rows = rows.select(some) if isinstance(rows, Streamed) else rows[some]
    return by_blocks(rows, lambda block, places: head.scores(block))


def fit_all(
    heads: Sequence[Head],
    division: Division,
    options: FitOptions,
    log: Log,
    say: Callable[[str], None],
    how: SearchOptions,
    stages: Stages,
) -> tuple[list[FittedHead], bool, list[str]]:
    """Train head after head and log each reading of the test part; returns them, whether Ctrl-C came, and notes."""
    budget = BUDGET if options.budget is None and "all" in options.models else options.budget
    end = None if budget is None else how.clock() + budget
    trained, notes = list[FittedHead](), list[str]()
    for number, head in enumerate(heads):
        left = None if end is None else max(0.0, end - how.clock())
        stages.place(number + 1, len(heads))
        try:
            trained.append(fit_one(head, division, options, left, say, how, stages))
        except KeyboardInterrupt:
            if not trained:
                raise
            notes.append(f"stopped while fitting {head.name}: only the heads finished before are reported")
            return trained, True, notes
        except UserError as error:
            if end is None or (not trained and number == len(heads) - 1):
                raise
            notes.append(f"{head.name} left out: {error}")
            continue
        log.add(_reading(division, trained[-1], options))
        if trained[-1].found.interrupted:
            return trained, True, notes
    return trained, False, notes


def simplest_of(trained: Sequence[FittedHead]) -> FittedHead:
    """The one-standard-error rule (Breiman et al. 1984, section 3.4.3) over heads; `trained` is best first."""
    best = trained[0]
    error = best.result.cv_std / np.sqrt(len(best.found.folds))
    near = [each for each in trained if each.result.cv_accuracy >= best.result.cv_accuracy - error]
    return min(near, key=lambda each: each.rank)


def _reading(division: Division, trained: FittedHead, options: FitOptions) -> Reading:
    extra: dict[str, Any] = {} if options.class_weight == "none" else {"class_weight": options.class_weight}
    if options.views.number:
        extra["views"] = options.views.to_json()
    if any(each.parts for each in trained.inputs):
        extra["parts"] = trained.found.columns.name
    return Reading(
        test=division.test_hash,
        command="fit-head",
        head=trained.result.name,
        params=trained.result.params | extra,
        trained_on=division.train_hash,
        space=",".join(each.space.id for each in trained.inputs),
        time=trained.tested,
    )
