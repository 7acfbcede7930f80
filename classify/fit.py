"""Train heads on a cached data set: divide, search, calibrate, test once, compare, keep the best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import UserError
from cache.files import write_file
from cache.workspace import Workspace
from classify import readings
from classify.comparison import Comparison, compare
from classify.division import Division, divide
from classify.evaluate import imbalance, tie
from classify.heads import Head, select
from classify.leaderboard import HeadResult, leaderboard
from classify.learning_curve import LearningCurve, learning_curve
from classify.mistakes import mistakes, mistakes_csv, mistakes_png
from classify.mlp import shape_mlp
from classify.report import MISTAKES, Report, write_report
from classify.runs import remember_best, save_evaluation, save_head, write_json
from classify.splits import TEST, TRAIN, describe
from classify.tournament_sample import sample_notes
from classify.training import Trained, train
from classify.viewed import with_views
from extract.augmentation import Views
from extract.extraction import Progress, largest
from extract.images import Decoding

BUDGET = 60.0  # seconds that `all` searches unless told otherwise


@dataclass(frozen=True)
class FitOptions:
    """What to fit and how; whatever of it changes a figure is in run.json."""

    models: Sequence[str] = ("logreg",)
    folds: int = 5
    test_size: float = 0.2
    split: str | None = None  # shares of training, validation and test part, as 80/10/10; None: test_size
    seed: int = 0  # of split and folds
    n_jobs: int | None = None  # None: all cores
    budget: float | None = None  # seconds for all searches; None: as long as it takes, or BUDGET for `all`
    class_weight: str = "none"
    group_by: str | None = None  # column of the manifest whose groups stay together
    curve: bool = True  # learning curve of the best head
    views: Views = field(default_factory=Views)  # of the training pictures, to fit on besides the plain ones
    hidden: tuple[int, ...] | None = None  # widths of the mlp's hidden layers; None: the search tries two
    batch_norm: bool = False  # the mlp normalises batches before each layer


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

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        return {
            "run": str(self.run),
            "best": self.best,
            "simplest": self.simplest,
            "heads": [result.to_json() for result in self.heads],
            "views": self.views.number,
            "augment": self.views.augment,
            "notes": self.notes,
        }

    def to_text(self) -> str:
        """Return the leaderboard and where the run is."""
        return f"{leaderboard(self.heads)}\nbest: {self.best}, in {self.run} (start with report.md)"


def fit_heads(
    workspace: Workspace,
    options: FitOptions,
    *,
    dataset: str | None = None,
    space: str | None = None,
    on_progress: Callable[[str], None] | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
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
        Default: the workspace's current ones.
    on_progress : callable (line of text), optional
    progress : Progress, optional
        Told of the embedding of views that are not in the cache yet.
    clock : callable () -> float
        Seconds, which the budget is measured in.

    Raises
    ------
    UserError
        For unknown names, nothing extracted, data that cannot be split or fitted, or too small a budget.
    KeyboardInterrupt
        On Ctrl-C before the first head is finished; later, the finished heads make the run.
    """
    say = on_progress or (lambda line: None)
    heads = shape_mlp(select(options.models), options.hidden, options.batch_norm)
    data = workspace.load(dataset, space)
    division = divide(
        workspace,
        data,
        test_size=options.test_size,
        seed=options.seed,
        shares=options.split,
        group_by=options.group_by,
        class_weight=options.class_weight,
    )
    if options.views.number:
        division = with_views(workspace, division, options.views, progress, say)
    notes = division.notes + sample_notes(workspace, division) + imbalance(division.y, options.folds)
    before = readings.earlier(workspace, division.test_hash)
    trained, interrupted = _train_all(workspace, heads, division, options, notes, say, clock)
    trained.sort(key=lambda each: (-round(each.result.cv_accuracy, 9), each.rank))
    for each in trained:
        notes += [note for note in each.found.notes if note not in notes]
    seen = readings.note(before, [_reading(division, each, options) for each in trained])
    notes += [seen] if seen else []
    results, best = [each.result for each in trained], trained[0]
    simplest = _simplest(trained)
    if simplest.result.name != best.result.name:
        notes.append(
            f"{simplest.result.name} is the simplest head within one standard error of {best.result.name}"
        )
    comparisons = []
    if len(trained) > 1:
        first, second = trained[0], trained[1]
        names = first.result.name, second.result.name
        if tie(first.result.evaluation, second.result.evaluation):
            notes.append(
                f"a tie: the test intervals of {names[0]} and {names[1]} overlap; {names[0]} is kept for its CV "
                "accuracy"
            )
        comparisons = [compare(*names, division.truth, first.predicted, second.predicted, seed=options.seed)]
    notes += _without_grouping(best, division)
    curve = _curve(best, division, options, say) if options.curve and not interrupted else None

    run = workspace.new_run("fit-head")
    _write_run(workspace, run, division, trained, options, notes, comparisons, curve)
    remember_best(workspace, run, data, division.sha256, best.result.cv_accuracy)
    return FitResult(run, best.result.name, simplest.result.name, results, notes, interrupted, options.views)


def _train_all(
    workspace: Workspace,
    heads: Sequence[Head],
    division: Division,
    options: FitOptions,
    notes: list[str],
    say: Callable[[str], None],
    clock: Callable[[], float],
) -> tuple[list[Trained], bool]:
    """Train head after head and log each reading of the test part; returns them and whether Ctrl-C came."""
    budget = BUDGET if options.budget is None and "all" in options.models else options.budget
    end = None if budget is None else clock() + budget
    trained: list[Trained] = []
    for number, head in enumerate(heads):
        left = None if end is None else max(0.0, end - clock())
        try:
            trained.append(train(head, division, options, left, say, clock))
        except KeyboardInterrupt:
            if not trained:
                raise
            notes.append(f"stopped while fitting {head.name}: only the heads finished before are reported")
            return trained, True
        except UserError as error:
            if end is None or (not trained and number == len(heads) - 1):
                raise
            notes.append(f"{head.name} left out: {error}")
            continue
        readings.record(workspace, _reading(division, trained[-1], options))
        if trained[-1].found.interrupted:
            return trained, True
    return trained, False


def _simplest(trained: Sequence[Trained]) -> Trained:
    """The one-standard-error rule (Breiman et al. 1984, section 3.4.3) over heads; `trained` is best first."""
    best = trained[0]
    error = best.result.cv_std / np.sqrt(len(best.found.folds))
    near = [each for each in trained if each.result.cv_accuracy >= best.result.cv_accuracy - error]
    return min(near, key=lambda each: each.rank)


def _without_grouping(best: Trained, division: Division) -> list[str]:
    """Say what the accuracy would seem to be, had near copies fallen on both sides."""
    # Of pictures that are tested in truth, and would train there, there are no views.
    if division.ungrouped is None or division.weight is not None or division.views is not None:
        return []
    from sklearn.base import clone
    from threadpoolctl import threadpool_limits

    from classify.scores import class_scores

    rows, names = division.data.embedding, division.names
    fit, test = division.ungrouped == TRAIN, division.ungrouped == TEST
    with threadpool_limits(1):  # as in the search
        model = clone(best.head.pipeline).fit(rows[fit], names[fit])
    predicted = model.classes_[class_scores(model, rows[test]).argmax(axis=1)]
    accuracy, honest = (predicted == names[test]).mean(), best.result.evaluation.accuracy
    if abs(accuracy - honest) < 0.0005:
        return []
    return [
        f"with near copies on both sides of another split, {best.result.name} reaches {accuracy:.1%} "
        f"(n = {test.sum()}) instead of {honest:.1%}"
    ]


def _curve(
    best: Trained, division: Division, options: FitOptions, say: Callable[[str], None]
) -> LearningCurve:
    say(f"learning curve of {best.result.name}")
    answers = best.found.classes[best.found.scores.argmax(axis=1)]
    return learning_curve(
        best.result.name,
        best.head.pipeline,
        division.X,
        division.y,
        best.found.folds,
        weight=division.weight,
        views=division.views,
        whole=answers == division.y,
        seed=options.seed,
        n_jobs=options.n_jobs,
    )


def _reading(division: Division, trained: Trained, options: FitOptions) -> readings.Reading:
    extra: dict[str, Any] = {} if options.class_weight == "none" else {"class_weight": options.class_weight}
    if options.views.number:
        extra["views"] = options.views.to_json()
    return readings.Reading(
        test=division.test_hash,
        command="fit-head",
        head=trained.result.name,
        params=trained.result.params | extra,
        trained_on=division.train_hash,
        space=division.data.space.id,
        time=trained.tested,
    )


def _write_run(
    workspace: Workspace,
    run: Path,
    division: Division,
    trained: Sequence[Trained],
    options: FitOptions,
    notes: list[str],
    comparisons: Sequence[Comparison],
    curve: LearningCurve | None,
) -> None:
    best, data = trained[0], division.data
    manifest = data.manifest
    paths = [manifest.paths[row] for row in np.flatnonzero(division.split.part == TEST)]
    save_evaluation(run, best.result.evaluation, paths, division.truth, best.predicted, best.probability)
    results = [each.result for each in trained]
    table = leaderboard(results)
    write_file(run / "leaderboard.txt", "\n".join([table, *(f"note: {note}" for note in notes), ""]).encode())
    facts = {
        "Data set": f"{data.name}, {len(division.y):,} pictures for training and {len(division.truth):,} for testing",
        "Space": f"{data.space.id[:12]} ({data.space.backbone}, {data.space.input_size} pixels)",
        "Written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if options.views.number:
        facts["Views"] = (
            f"{options.views} train beside the plain one; plain pictures alone are held out and tested"
        )
    title = f"{best.result.name} on {data.name}"
    wrong = mistakes(best, division)
    write_file(run / "mistakes.csv", mistakes_csv(wrong))
    if wrong:
        write_file(
            run / MISTAKES,
            mistakes_png(wrong, data, Decoding(data.space.resize, largest(workspace, data.space))),
        )
    write_report(run, Report(title, facts, results, comparisons, best.calibration, curve, wrong, notes))
    heads = [
        each.result.to_json()
        | {
            "cv_std": each.result.cv_std,
            "test_part_read": each.tested,
            "test": each.result.evaluation.to_json(),
            "calibration": {name: found.to_json() for name, found in each.calibration.items()},
            "candidates": [
                {"params": one.settings, "cv_accuracy": one.mean, "folds": one.accuracy.tolist()}
                for one in each.found.candidates
            ],
        }
        for each in trained
    ]
    report = {
        "heads": heads,
        "comparisons": [each.to_json() for each in comparisons],
        "learning_curve": curve.to_json() if curve else None,
        "notes": notes,
    }
    write_json(run / "report.json", report)
    record = {
        "command": "fit-head",
        "created": facts["Written"],
        "parameters": asdict(replace(options, models=list(options.models))),
        "dataset": data.name,
        "root": manifest.root,
        "data_sha256": division.sha256,
        "split": describe(division.split),
        "space": {"id": data.space.id, "json": data.space.to_json()},
        "head": {
            "name": best.result.name,
            "params": best.result.params,
            "cv_accuracy": best.result.cv_accuracy,
            "test_accuracy": best.result.evaluation.accuracy,
        },
        "notes": notes,
    }
    save_head(workspace, run, best.head, record)
