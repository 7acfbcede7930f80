"""`fit-head`: divide, search, calibrate, test once, compare, keep the best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.text import terminal_width
from cache.workspace import Workspace
from classify.commands.fit_head.fitted_head import FittedHead, fit_all, scores_of, simplest_of
from classify.commands.fit_head.leaderboard import HeadResult, leaderboard, to_frame
from classify.commands.fit_head.learning_curve import LearningCurve, learning_curve
from classify.commands.fit_head.options import FitHeadOptions, FitOptions
from classify.commands.fit_head.record import Fitted, Later, complete, write_run
from classify.commands.fit_head.stages import STOPPING, Stages
from classify.data.division import Division, divide
from classify.data.rows.budget import budget, fits, room
from classify.data.splits import TEST, TRAIN
from classify.data.views import with_views
from classify.heads.cluster.team import spreader
from classify.heads.fitting.tasks import Spread, here
from classify.heads.folds import imbalance
from classify.heads.frontier import costs_of, frontier
from classify.heads.mlp import shape_mlp
from classify.heads.search import SearchOptions
from classify.heads.streaming.table import STREAMED
from classify.heads.table import select
from classify.metrics.comparison import Comparison, compare
from classify.metrics.evaluation import tie
from classify.metrics.frontier import Frontier
from classify.pages.page import write_page
from classify.report.frontier import frontier_text
from classify.runs.folder import remember_best
from classify.runs.readings import Log, sample_notes
from classify.runs.standing import answers_now
from extract.embedding.course import Course, shown
from extract.embedding.progress import Progress
from extract.embedding.spaces import spaces_of
from extract.machine import usable_cores
from extract.pictures.policies import Views
from extract.settings import Ray
from extract.sources.changes import left

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FitResult:
    """The outcome: heads by falling CV accuracy; `interrupted` when Ctrl-C ended it early."""

    run: Path
    best: str
    simplest: str  # the simplest head within one standard error of the best
    heads: list[HeadResult]
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    views: Views = field(default_factory=Views)
    closing: list[str] = field(default_factory=list)  # what `predict` answers with now
    networks: Frontier | None = None  # the sets that were tried, where there are several networks

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        return {
            "run": str(self.run),
            "best": self.best,
            "simplest": self.simplest,
            "heads": [result.to_json() for result in self.heads],
            "views": self.views.number,
            "augment": self.views.augment,
            "networks": self.networks.to_json() if self.networks else None,
            "notes": self.notes,
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the heads as a DataFrame; see `classify.commands.fit_head.leaderboard.to_frame`."""
        return to_frame(self.heads)

    def to_text(self) -> str:
        """Return the sets of networks, the leaderboard and where the run is."""
        width = terminal_width()
        before = f"{frontier_text(self.networks, width)}\n\n" if self.networks else ""
        return f"{before}{leaderboard(self.heads, width)}\nbest: {self.best}, in {self.run} (start with report.html)"


def fit_heads(
    workspace: Workspace,
    options: FitOptions,
    *,
    dataset: str | None = None,
    space: str | None = None,
    on_progress: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
    course: Course | None = None,
    spread: Spread = here,
) -> FitResult:
    """Train heads on a data set's embeddings and write a run folder with the best.

    Settings and the best head are chosen by cross-validation on the training part; the test part is read once
    a head, after that, and the reading is logged. The run becomes the workspace's best unless a run on the
    very same data had a higher CV accuracy.

    Parameters
    ----------
    workspace : Workspace
    options : FitOptions
    dataset, space : str, optional
        Default: the workspace's current ones. Of several spaces, with commas, the best set is used.
    on_progress : callable (line of text), optional
    progress : Progress, optional
        Told of the embedding of views that are not in the cache yet.
    clock : callable () -> float
        Seconds, which the budget and the time in the report are measured in.
    course : Course, optional
        Told of the stages.
    spread : Spread
        Who does the fits of the search.

    Raises
    ------
    UserError
        For unknown names, nothing extracted, data that cannot be split or fitted, or too small a budget.
    KeyboardInterrupt
        On Ctrl-C before the first head is finished; later, the finished heads make the run.
    """
    began = clock()

    def seconds() -> float:
        return clock() - began

    say = on_progress or (lambda line: None)
    stages = Stages(course or Course())
    heads = shape_mlp(select(options.models), options.hidden, options.batch_norm)
    data = workspace.load(dataset, space)
    stages.load()
    stages.divide(data)
    division = divide(
        workspace,
        data,
        test_size=options.test_size,
        seed=options.seed,
        shares=options.split,
        group_by=options.group_by,
        class_weight=options.class_weight,
        parts=options.parts,
        progress=progress,
        memory=budget(options.max_memory_gb),
        in_blocks=spread is here and not options.views.number and all(h.name in STREAMED for h in heads),
    )
    how = SearchOptions(
        options.folds, options.seed, options.n_jobs, None, clock, stages.course.step, spread=spread
    )
    networks = None
    if len(data.spaces) > 1:
        networks, division = _choose_networks(workspace, division, options, how, stages)
    if options.views.number:
        division = with_views(workspace, division, options.views, progress, say)
    notes = division.notes + sample_notes(workspace, division) + imbalance(division.y, options.folds)
    if gone := left(data.name, data.manifest):
        notes.append(f"{gone}. The figures need the cache alone")
    log = Log(workspace, division.test_hash)
    trained, interrupted, said = fit_all(heads, division, options, log, say, how, stages)
    notes += said
    trained.sort(key=lambda each: (-round(each.result.cv_accuracy, 9), each.rank))
    for each in trained:
        notes += [note for note in each.found.notes if note not in notes]
    notes += log.notes
    results, best = [each.result for each in trained], trained[0]
    simplest = simplest_of(trained)
    if simplest.result.name != best.result.name:
        notes.append(
            f"{simplest.result.name} is the simplest head within one standard error of {best.result.name}"
        )
    if len(trained) > 1 and tie(best.result.evaluation, trained[1].result.evaluation):
        names = best.result.name, trained[1].result.name
        notes.append(
            f"a tie: the test intervals of {names[0]} and {names[1]} overlap; {names[0]} is kept for its CV accuracy"
        )

    # The test part has been read: the figures are kept before anything else takes time, or is interrupted.
    run, fitted = workspace.new_run("fit-head"), Fitted(division, trained, options, networks, seconds)
    stages.write(options.curve and not interrupted)
    whole = _missing(comparison=len(trained) > 1, limits=True, curve=options.curve)
    try:
        write_run(workspace, run, fitted, [*notes, *whole])
    except KeyboardInterrupt:
        if interrupted:
            raise
        interrupted = True
        write_run(workspace, run, fitted, [*notes, *whole])
    remember_best(workspace, run, data, division.sha256, best.result.cv_accuracy)
    try:
        later, more = _later(trained, division, options, interrupted, stages)
        notes += more + _missing(comparison=False, limits=interrupted, curve=options.curve and interrupted)
        if more or later != Later():
            stages.report()
            complete(run, fitted, notes, later)
    except KeyboardInterrupt:
        interrupted = True
        notes += whole
    write_page(workspace, run)
    return FitResult(
        run,
        best.result.name,
        simplest.result.name,
        results,
        notes,
        interrupted,
        options.views,
        [answers_now(workspace, run)],
        networks,
    )


def _choose_networks(
    workspace: Workspace, division: Division, options: FitOptions, how: SearchOptions, stages: Stages
) -> tuple[Frontier, Division]:
    """Compare sets of networks; returns them, and the division of the rows of the best set."""
    costs, notes = costs_of(workspace, division.data, stages.cost)
    found = frontier(division, costs, how, parts=options.parts, on_set=stages.networks)
    kept = [space for space in division.data.spaces if space.id in found.best.spaces]
    return found, replace(division.within(kept, options.parts), notes=division.notes + notes)


def _missing(*, comparison: bool, limits: bool, curve: bool) -> list[str]:
    """What a run says that was ended before all of it was found out."""
    missing = ["the comparison of the first two heads"] if comparison else []
    missing += ["how far the head may be trusted"] if limits else []
    missing += ["the learning curve"] if curve else []
    if not missing:
        return []
    verb, together = "are" if len(missing) > 1 else "is", ", ".join(missing[:-1])
    return [
        f"{' and '.join(filter(None, (together, missing[-1])))} {verb} missing, as the command was stopped before: "
        "all figures are there, and the same command again makes the rest"
    ]


def _later(
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


def run(options: FitHeadOptions, say: Callable[[str], None]) -> FitResult:
    """Answer the command line."""
    views = Views.of(options.fit.views.number, options.fit.views.augment)
    with shown(Course(say), STOPPING) as course:
        workspace, space = Workspace.locate(options.workspace), options.space
        if options.backbones and options.space:
            raise UserError("Expected --backbone or --space, received both. Leave one of them out.")
        if options.backbones:
            space = spaces_of(workspace, options.dataset, options.backbones)
        cluster = Ray(options.ray, options.fit.n_jobs)
        jobs = None if cluster.asked else options.fit.n_jobs  # they are the cluster's
        with spreader(cluster, course.say) as spread:
            return fit_heads(
                workspace,
                replace(options.fit, views=views, curve=not options.no_curve, n_jobs=jobs),
                dataset=options.dataset,
                space=space,
                on_progress=course.say,
                progress=course.progress("embedding views"),
                course=course,
                spread=spread,
            )
