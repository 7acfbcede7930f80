"""The files of a run of fit-head; run.json comes last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from cache.storage.files import write_file
from cache.text import counted
from cache.versions import now
from cache.workspace import Workspace
from classify.commands.fit_head.fitted_head import FittedHead
from classify.commands.fit_head.leaderboard import leaderboard
from classify.commands.fit_head.learning_curve import LearningCurve
from classify.commands.fit_head.mistakes import mistakes, mistakes_csv, mistakes_png
from classify.commands.fit_head.options import FitOptions
from classify.commands.fit_head.report import MISTAKES, Report, write_report
from classify.data.division import Division
from classify.data.splits import TEST
from classify.metrics.comparison import Comparison
from classify.runs.folder import write_json
from classify.runs.head_file import save_head
from classify.runs.predictions import save_evaluation
from classify.runs.record import of_division, of_space, record
from extract.embedding.spaces import largest
from extract.settings import Decoding


def write_record(
    workspace: Workspace,
    run: Path,
    division: Division,
    trained: Sequence[FittedHead],
    options: FitOptions,
    notes: list[str],
    comparisons: Sequence[Comparison],
    curve: LearningCurve | None,
    seconds: Callable[[], float],
) -> None:
    """Write the run of its heads, the best first; `seconds` tells how long the command has taken so far."""
    best, data = trained[0], division.data
    manifest = data.manifest
    paths = [manifest.paths[row] for row in np.flatnonzero(division.split.part == TEST)]
    title = f"{best.result.name} on {data.name}"
    answers = (division.truth, best.predicted, best.probability)
    save_evaluation(run, best.result.evaluation, paths, *answers, title)
    results = [each.result for each in trained]
    table = leaderboard(results)
    write_file(run / "leaderboard.txt", "\n".join([table, *(f"note: {note}" for note in notes), ""]).encode())
    facts = {
        "Data set": f"{data.name}, {counted(len(division.y), 'picture')} for training "
        f"and {len(division.truth):,} for testing",
        "Space": f"{data.space.id[:12]} ({data.space.backbone}, {data.space.input_size} pixels)",
        "Time": f"{seconds():.0f} s for the whole command, until this page was written",
        "Written": now(),
    }
    if options.views.number:
        facts["Views"] = (
            f"{options.views} train beside the plain one; plain pictures alone are held out and tested"
        )
    wrong = mistakes(best, division)
    write_file(run / "mistakes.csv", mistakes_csv(wrong))
    if wrong:
        write_file(
            run / MISTAKES,
            mistakes_png(wrong, data, Decoding(data.space.resize, largest(workspace, data.space)), title),
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
    described = record(
        "fit-head",
        created=facts["Written"],
        parameters=asdict(replace(options, models=list(options.models))),
        **of_division(division),
        space=of_space(data.space),
        head={
            "name": best.result.name,
            "params": best.result.params,
            "cv_accuracy": best.result.cv_accuracy,
            "test_accuracy": best.result.evaluation.accuracy,
        },
        notes=notes,
    )
    save_head(workspace, run, best.head, described)
