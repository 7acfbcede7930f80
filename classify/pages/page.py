"""report.html of a run: what its folder says, as one page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cache.storage.files import write_file
from cache.text import counted, last_name
from cache.workspace import Workspace
from classify.metrics.comparison import Comparison
from classify.pages import plots
from classify.pages.pictures import NAMED, Thumbnails, gallery
from classify.pages.run import Model, Run, read_run
from classify.report import frontier, frontier_plot
from classify.report.glossary import words_of
from classify.report.html.environment import render
from classify.report.html.svg import svg
from classify.report.text import setting
from classify.runs.inputs import inputs_of

FILE = "report.html"
MATRIX = 15  # classes up to which all confusions are one table
WORDS = (
    "95 % interval, balanced accuracy, F1, log-loss, Brier, calibration error, CV accuracy, out of fold, precision, "
    "recall, temperature, test part"
)


def write_page(workspace: Workspace, folder: Path) -> Path:
    """Write report.html into the folder of a finished run; the same bytes while folder and pictures are the same.

    Raises
    ------
    UserError
        When it is no run with answers to labelled pictures, or its files are damaged.
    """
    write_file(folder / FILE, page(workspace, read_run(folder)).encode("utf-8"))
    return folder / FILE


def page(workspace: Workspace, run: Run) -> str:
    """Return the page as HTML."""
    shown = gallery(run, workspace)
    thumbnails = Thumbnails.of(run, workspace, shown.wanted())
    training = _training(run)
    return render(
        "run.html.j2",
        run=run,
        written=day(run),
        e=run.evaluation,
        floor=floor(run.models),
        gallery=shown,
        thumbnails=thumbnails,
        notes=_notes(run, thumbnails),
        comparisons=_comparisons(run),
        networks=_networks(run),
        calibration=_calibration(run),
        curve=_curve(run),
        limits=run.report.get("limits") or {},
        training=training,
        facts=facts_of(run),
        words=words_of(f"{WORDS}, alpha, validation" if training else WORDS),
        named=NAMED,
        matrix=MATRIX,
        setting=setting,
    )


def day(run: Run) -> str:
    """When it was written, for people."""
    created = run.record.get("created")
    return f"{datetime.fromisoformat(created):%d %B %Y, %H:%M} UTC".lstrip("0") if created else ""


def floor(models: Sequence[Model]) -> float:
    """Where a scale begins that has room for the intervals of all models, in tenths."""
    lowest = min(each.evaluation.ci_low for each in models)
    return max(0.0, math.floor(10 * lowest - 0.5) / 10)


def _result(run: Run) -> Mapping[str, Any]:
    return run.record.get("result") or {}


def _notes(run: Run, thumbnails: Thumbnails) -> list[str]:
    notes = [*(run.record.get("notes") or _result(run).get("notes") or ())]
    if run.root:
        notes = [note.replace(run.root, run.source) for note in notes]
    if thumbnails.gone:
        notes.append(
            f"{counted(thumbnails.gone, 'picture')} of those on this page cannot be read now, or changed since; they "
            f"lay below {run.source}"
        )
    return notes


def _comparisons(run: Run) -> list[str]:
    """What paired tests say, in sentences."""
    found = [*(run.report.get("comparisons") or ()), _result(run).get("comparison")]
    found.append((_result(run).get("original") or {}).get("comparison"))
    return [Comparison(**each).sentence() for each in found if each]


def _networks(run: Run) -> dict[str, Any]:
    """Sets of networks, where several were tried."""
    if not (found := run.networks):
        return {}
    drawn = frontier_plot.draw(found, run.dataset)
    return {
        "plot": svg(drawn, "Accuracy of sets of networks against what they cost"),
        "columns": frontier.COLUMNS,
        "rows": frontier.cells(found),
        "sentence": frontier.sentence(found),
    }


def _calibration(run: Run) -> dict[str, Any]:
    """Rows of figures, before and after the temperature, and their plot."""
    sets = run.report["heads"][0]["calibration"] if run.report.get("heads") else {}
    rows = [
        (name, when, each["temperature"], each[when])
        for name, each in sets.items()
        for when in ("before", "after")
    ]
    return {"rows": rows, "plot": plots.reliability(sets)} if rows else {}


def _curve(run: Run) -> dict[str, Any]:
    """What more labels would bring."""
    curve = run.report.get("learning_curve")
    if not curve:
        return {}
    return {**curve, "plot": plots.learning_curve(curve) if curve["points"] else ""}


def _training(run: Run) -> dict[str, Any]:
    """The course of a network's training."""
    import pandas as pd

    if not (run.folder / "history.csv").exists():
        return {}
    history = pd.read_csv(run.folder / "history.csv")
    result = _result(run)
    kept = result["best_epoch"] if result.get("alpha", 1) else 0
    accuracy, loss = plots.epochs(history, kept, result["val_n"])
    found = {"Accuracy": accuracy, "Loss": loss}
    if len(points := run.record.get("interpolations") or ()) > 1:
        found["From the head to the fine-tuned weights"] = plots.line(
            points, result["alpha"], result["val_n"]
        )
    return found


def facts_of(run: Run) -> dict[str, str]:
    """Lines such as "Data set" -> "flowers"."""
    record, split = run.record, run.record.get("split") or {}
    facts = {
        "Run": f"{run.folder.name}, {run.command}",
        "Data set": f"{run.dataset}: " + ", ".join(f"{n:,} {name}" for name, n in split.items()),
        "Pictures": run.source,
        "Networks": " and ".join(map(str, inputs_of(record))) if record.get("space") else "",
        "Started from": last_name((record.get("start") or {}).get("run") or ""),
        "Answered by": last_name(str(record.get("answered_by") or "")),
        "Parameters": _parameters(record.get("parameters") or {}),
        "Software": ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
        "Written": day(run),
    }
    return {name: fact.rstrip(": ") for name, fact in facts.items() if fact.strip(": ")}


def _parameters(asked: Mapping[str, Any]) -> str:
    """The options that say something."""
    told = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in asked.items()
    }
    said = {name: value for name, value in told.items() if value not in (None, False, "", "none")}
    return "; ".join(
        f"{name} {setting(value)}" for name, value in said.items() if not isinstance(value, dict)
    )
