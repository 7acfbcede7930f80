"""`fit-head`: divide, search, calibrate, test once, compare, keep the best."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.fit_head.fitted_head import fit_all, simplest_of
from classify.commands.fit_head.later import find_later, missing
from classify.commands.fit_head.options import FitHeadOptions, FitOptions
from classify.commands.fit_head.record import Fitted, Later, complete, write_run
from classify.commands.fit_head.result import FitResult
from classify.commands.fit_head.stages import STOPPING, Stages
from classify.data.division import Division, divide, lacking
from classify.data.rows.budget import budget
from classify.data.views import with_views
from classify.heads.cluster.team import spreader
from classify.heads.fitting.tasks import Spread, here
from classify.heads.folds import check_classes, imbalance
from classify.heads.frontier import costs_of, frontier
from classify.heads.mlp import shape_mlp
from classify.heads.search import SearchOptions
from classify.heads.streaming.table import STREAMED
from classify.heads.table import select
from classify.metrics.evaluation import tie
from classify.metrics.frontier import Frontier
from classify.pages.page import write_page
from classify.runs.folder import remember_best
from classify.runs.readings import Log, sample_notes
from classify.runs.standing import answers_now
from extract.embedding.course import Course, shown
from extract.embedding.progress import Progress
from extract.embedding.spaces import spaces_of
from extract.pictures.policies import Views
from extract.settings import Ray
from extract.sources.changes import left


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
    try:
        check_classes(division.y)
    except UserError as error:
        raise UserError(" ".join([str(error), *(f"{note}." for note in lacking(data))])) from error
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
    whole = missing(comparison=len(trained) > 1, limits=True, curve=options.curve)
    try:
        write_run(workspace, run, fitted, [*notes, *whole])
    except KeyboardInterrupt:
        if interrupted:
            raise
        interrupted = True
        write_run(workspace, run, fitted, [*notes, *whole])
    remember_best(workspace, run, data, division.sha256, best.result.cv_accuracy)
    try:
        later, more = find_later(trained, division, options, interrupted, stages)
        notes += more + missing(comparison=False, limits=interrupted, curve=options.curve and interrupted)
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
