"""The files of an evaluation's run; run.json comes last."""

from __future__ import annotations

from typing import Any

import numpy as np

from cache.manifest import Manifest
from cache.storage.files import write_file
from cache.versions import now
from classify.commands.evaluate.result import Evaluated
from classify.report.confusion import CONFUSION
from classify.report.figures import Cell, picture_grid
from classify.report.limits import HEADING, limits_markdown
from classify.report.tables import FIGURES, class_table, figures
from classify.report.text import OVER_A_PICTURE, csv_bytes, csv_text, escape, printable, table
from classify.runs.folder import write_json
from classify.runs.predictions import save_evaluation
from classify.runs.record import record
from extract.pictures.decoding import RejectedImage
from extract.pictures.files import load_row
from extract.settings import Decoding

DRAWN, COLUMNS, SIDE = 12, 6, 224


def write_record(found: Evaluated, manifest: Manifest, source: dict[str, Any], root: str) -> None:
    """Write the tables, the pictures and the page; `manifest` has the n pictures of `found`."""
    save_evaluation(found.run, found.evaluation, found.paths, found.truth, found.predicted, found.probability)
    wrong = np.flatnonzero(found.predicted != found.truth)
    wrong = wrong[np.argsort(-found.probability[wrong], kind="stable")]
    write_file(found.run / "mistakes.csv", csv_bytes(csv_text(found.to_frame().iloc[wrong])))
    if len(wrong):
        write_file(found.run / "mistakes.png", _drawn(found, manifest, wrong[:DRAWN]))
    write_file(found.run / "report.md", _page(found, wrong).encode("utf-8"))
    described = record(
        "evaluate",
        answered_by=str(found.answered_by),
        **source,
        root=root,
        result=found.to_json(),
        test=found.evaluation.to_json(),
        without_copies=found.without.to_json() if found.without else None,
    )
    write_json(found.run / "run.json", described)


def _drawn(found: Evaluated, manifest: Manifest, rows: np.ndarray) -> bytes:
    cells = []
    for row in rows:
        label, said = (printable(str(names[row]), OVER_A_PICTURE) for names in (found.truth, found.predicted))
        try:
            picture = load_row(manifest, row, SIDE, Decoding())
        except RejectedImage:
            picture = None
        cells.append(Cell(picture, f"{label}?\n{said} {found.probability[row]:.0%}"))
    return picture_grid(cells, COLUMNS, "Labelled so? The run is sure of something else", lines=2)


def _page(found: Evaluated, wrong: np.ndarray) -> str:
    sets = [("All pictures", found.evaluation)]
    if found.without:
        sets.append(("Without copies", found.without))
    parts = [
        f"# {escape(found.answered_by.name)} on {escape(found.dataset)}",
        f"- {escape(found.said)}\n- Written: {now()}",
        "\n".join(f"- note: {escape(note)}" for note in found.notes),
        "## Figures",
        table(("Pictures", *FIGURES), [[name, *figures(each)] for name, each in sets]),
        "Accuracy has Wilson's 95 % interval. Copies are pictures of which the run saw the same or a near copy when it "
        "was trained: it may remember them.",
        *([f"## {HEADING}", limits_markdown(found.limits, "new pictures")] if found.limits else []),
        "## Classes",
        class_table(found.without or found.evaluation, "Precision", "F1"),
        f"![Confusion matrix]({CONFUSION})",
    ]
    if found.copies:
        listed = "\n".join(f"- {escape(path)}" for path in found.copies[:100])
        parts += [
            "## Copies of training pictures",
            f"{len(found.copies):,}, of which up to 100 are here:",
            listed,
        ]
    if len(wrong):
        rows = [
            (escape(found.paths[row]), escape(found.truth[row]), escape(found.predicted[row]), f"{share:.1%}")
            for row, share in zip(
                wrong[:DRAWN].tolist(), found.probability[wrong[:DRAWN]].tolist(), strict=True
            )
        ]
        parts += ["## Surest mistakes", table(("Picture", "Label", "Answer", "Probability"), rows, left=3)]
        parts += ["mistakes.csv lists all.", "![The surest mistakes](mistakes.png)"]
    return "\n\n".join(part for part in parts if part) + "\n"
