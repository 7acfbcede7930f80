"""What of a run no figure of its heads waits for: found out once the figures are kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classify.commands.fit_head.curve.learning_curve import LearningCurve, learning_curve
from classify.commands.fit_head.fitted_head import FittedHead, scores_of
from classify.commands.fit_head.options import FitOptions
from classify.commands.fit_head.record import Later
from classify.commands.fit_head.stages import Stages
from classify.data.division import Division
from classify.data.rows.budget import budget, fits, room
from classify.data.splits import TEST, TRAIN
from classify.metrics.comparison import Comparison, compare
from extract.machine import usable_cores


def missing(*, comparison: bool, limits: bool, curve: bool) -> list[str]:
    """What a run says that was ended before all of it was found out."""
    lacking = ["the comparison of the first two heads"] if comparison else []
    lacking += ["how far the head may be trusted"] if limits else []
    lacking += ["the learning curve"] if curve else []
    if not lacking:
        return []
    verb, together = "are" if len(lacking) > 1 else "is", ", ".join(lacking[:-1])
    return [
        f"{' and '.join(filter(None, (together, lacking[-1])))} {verb} missing, as the command was stopped before: "
        "all figures are there, and the same command again makes the rest"
    ]


def find_later(
    trained: Sequence[FittedHead],
    division: Division,
    options: FitOptions,
    interrupted: bool,
    stages: Stages,
) -> tuple[Later, list[str]]:
    """Find out what no figure of the heads waits for, and the notes of it."""
    best, comparisons = trained[0], list[Comparison]()
    for other in trained[1:2]:
        names = best.result.name, other.result.name
        comparisons = [compare(*names, division.truth, best.predicted, other.predicted, seed=options.seed)]
    notes = [] if interrupted else _without_grouping(best, division)
    limits = None
    if not interrupted:
        stages.limits(best.result.name)
        limits = best.limits(division, options.seed)
    curve = _curve(best, division, options, stages) if options.curve and not interrupted else None
    return Later(comparisons, curve, limits), notes


def _without_grouping(best: FittedHead, division: Division) -> list[str]:
    """Say what the accuracy would seem to be, had near copies fallen on both sides."""
    # Of pictures that are tested in truth, and would train there, there are no views.
    if division.ungrouped is None or division.weight is not None or division.views is not None:
        return []
    from sklearn.base import clone
    from threadpoolctl import threadpool_limits

    from classify.heads.fitting.scores import class_scores

    rows, names = best.found.columns.of(division.rows), division.names
    fit, test = division.ungrouped == TRAIN, division.ungrouped == TEST
    if best.found.again:
        head = best.found.again(division.rows.select(fit), names[fit])
        predicted = head.classes_[scores_of(head, rows, test).argmax(axis=1)]
    else:
        with threadpool_limits(1):  # as in the search
            model = clone(best.found.template).fit(rows[fit], names[fit])
        predicted = model.classes_[class_scores(model, rows[test]).argmax(axis=1)]
    accuracy, honest = (predicted == names[test]).mean(), best.result.evaluation.accuracy
    if abs(accuracy - honest) < 0.0005:
        return []
    return [
        f"with near copies on both sides of another split, {best.result.name} reaches {accuracy:.1%} "
        f"(n = {test.sum()}) instead of {honest:.1%}"
    ]


def _curve(best: FittedHead, division: Division, options: FitOptions, stages: Stages) -> LearningCurve:
    jobs = options.n_jobs or usable_cores()
    memory = budget(options.max_memory_gb)
    stages.curve(best.result.name)
    answers = best.found.classes[best.found.scores.argmax(axis=1)]
    return learning_curve(
        best.result.name,
        best.found.template,
        division.using(best.found.columns),
        best.found.folds,
        whole=answers == division.y,
        seed=options.seed,
        n_jobs=jobs,
        most=np.inf if fits(division.data, memory) else room(division.X.shape[1], memory) / jobs,
        on_progress=stages.course.step,
    )
