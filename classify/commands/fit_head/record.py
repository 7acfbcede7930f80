"""The files of a run of fit-head; run.json comes last, and what takes long after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from cache.storage.files import write_file
from cache.text import counted
from cache.versions import now
from cache.workspace import Workspace
from classify.commands.fit_head.curve.learning_curve import LearningCurve
from classify.commands.fit_head.fitted_head import FittedHead
from classify.commands.fit_head.leaderboard import leaderboard
from classify.commands.fit_head.mistakes import mistakes, mistakes_csv, mistakes_png
from classify.commands.fit_head.options import FitOptions
from classify.commands.fit_head.report import MISTAKES, Report, write_report
from classify.data.division import Division
from classify.data.splits import TEST
from classify.limits.checked import Checked
from classify.limits.learned import Limits
from classify.metrics.comparison import Comparison
from classify.metrics.frontier import Frontier
from classify.report.card import write_card
from classify.runs import scores
from classify.runs.folder import write_json
from classify.runs.head_file import save_head
from classify.runs.inputs import to_record
from classify.runs.predictions import of_tables, save_evaluation
from classify.runs.readings import standing
from classify.runs.record import of_division, of_space, read_record, record
from extract.embedding.spaces import largest
from extract.settings import Decoding


@dataclass(frozen=True)
class Fitted:
    """What a run is of: heads, the best first, on a divided data set; `seconds` the command has taken so far."""

    division: Division
    trained: Sequence[FittedHead]
    options: FitOptions
    networks: Frontier | None  # the sets that were tried, where there are several
    seconds: Callable[[], float]

    @property
    def best(self) -> FittedHead:
        """The head that the run keeps."""
        return self.trained[0]


@dataclass(frozen=True)
class Later:
    """What is found out once the run is safe: a paired test of the first two heads, limits, and the learning curve."""

    comparisons: Sequence[Comparison] = ()
    curve: LearningCurve | None = None
    limits: tuple[Limits, Checked] | None = None


def write_run(workspace: Workspace, run: Path, fitted: Fitted, notes: Sequence[str]) -> None:
    """Write a whole run; `complete` adds what is found out later."""
    division, best, data = fitted.division, fitted.best, fitted.division.data
    manifest = data.manifest
    paths = [manifest.paths[row] for row in np.flatnonzero(division.split.part == TEST).tolist()]
    title, answers = _title(best, division), (division.truth, best.predicted, best.probability)
    save_evaluation(run, best.result.evaluation, paths, *answers, title)
    wrong = mistakes(best, division)
    write_file(run / "mistakes.csv", mistakes_csv(wrong))
    scores.write(run, best.scores(division))
    if wrong:
        write_file(
            run / MISTAKES,
            mistakes_png(wrong, data, Decoding(data.space.resize, largest(workspace, data.space)), title),
        )
    write_pages(run, fitted, notes, Later())
    described = record(
        "fit-head",
        parameters=asdict(replace(fitted.options, models=list(fitted.options.models))),
        **of_division(division),
        space=of_space(best.inputs[0].space),
        inputs=to_record(best.inputs),
        divided_in=division.divided_in.id,
        head={
            "name": best.result.name,
            "params": best.result.params,
            "cv_accuracy": best.result.cv_accuracy,
            "test_accuracy": best.result.evaluation.accuracy,
        },
        notes=notes,
        **of_tables(run),
        **standing(workspace, division.test_hash),
    )
    write_card(workspace, run, described, best.result.evaluation)
    save_head(run, best.head, described)


def complete(run: Path, fitted: Fitted, notes: Sequence[str], later: Later) -> None:
    """Add what was found out later to a run, and to its notes."""
    if later.limits:
        later.limits[0].write(run)
    write_pages(run, fitted, notes, later)
    write_json(run / "run.json", read_record(run) | {"notes": notes})


def write_pages(run: Path, fitted: Fitted, notes: Sequence[str], later: Later) -> None:
    """Write leaderboard.txt, report.md with its pictures, and report.json."""
    division, best, data = fitted.division, fitted.best, fitted.division.data
    results = [each.result for each in fitted.trained]
    table = leaderboard(results)
    write_file(run / "leaderboard.txt", "\n".join([table, *(f"note: {note}" for note in notes), ""]).encode())
    facts = {
        "Data set": f"{data.name}, {counted(len(division.y), 'picture')} for training "
        f"and {len(division.truth):,} for testing",
        "Space" if len(data.spaces) == 1 else "Spaces": ", ".join(
            f"{space.id[:12]} ({space.backbone}, {space.input_size} pixels)" for space in data.spaces
        ),
        "Best head uses": " and ".join(map(str, best.inputs)),
        "Time": f"{fitted.seconds():.0f} s for the whole command, until this page was written",
        "Written": now(),
    }
    if fitted.options.views.number:
        facts["Views"] = (
            f"{fitted.options.views} train beside the plain one; plain pictures alone are held out and tested"
        )
    wrong = mistakes(best, division)
    title, calibration = _title(best, division), best.calibration
    page = Report(
        title,
        facts,
        results,
        fitted.networks,
        later.comparisons,
        calibration,
        later.limits[1] if later.limits else None,
        later.curve,
        wrong,
        notes,
    )
    write_report(run, page)
    heads = [
        each.result.to_json()
        | {
            "cv_std": each.result.cv_std,
            "test_part_read": each.tested,
            "test": each.result.evaluation.to_json(),
            "calibration": {name: found.to_json() for name, found in each.calibration.items()},
            "candidates": [
                {
                    "params": one.settings,
                    "cv_accuracy": one.mean,
                    "folds": one.accuracy.tolist(),
                    "solved": one.solved,
                }
                for one in each.found.candidates
            ],
        }
        for each in fitted.trained
    ]
    report = {
        "networks": fitted.networks.to_json() if fitted.networks else None,
        "heads": heads,
        "comparisons": [each.to_json() for each in later.comparisons],
        "limits": later.limits[1].to_json() if later.limits else None,
        "learning_curve": later.curve.to_json() if later.curve else None,
        "notes": notes,
    }
    write_json(run / "report.json", report)


def _title(best: FittedHead, division: Division) -> str:
    return f"{best.result.name} on {division.data.name}"
