"""The files of an audit's run; run.json comes last."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cache.storage.files import write_file
from cache.workspace import Workspace
from classify.commands.audit.mending import mended
from classify.commands.audit.report.html import html
from classify.commands.audit.report.page import page
from classify.commands.audit.result import Audited
from classify.report.text import csv_bytes, csv_text
from classify.runs.folder import place_of, write_json
from classify.runs.record import of_space, record
from extract.commands.manifest import Survey

ISSUES, MENDED = "issues.csv", "mended.csv"


def write_record(workspace: Workspace, found: Audited, answered: Path | None) -> None:
    """Write the tables and the pages of an audit; `answered` is the run whose answers it used."""
    run, data = found.run, found.data
    write_file(run / ISSUES, csv_bytes(csv_text(found.to_frame())))
    whole = workspace.manifest(data.name)
    place = {path: row for row, path in enumerate(whole.paths)}
    rows = np.array([place[path] for path in data.manifest.paths])
    Survey(data.name, mended(whole, rows, found.issues), []).write_table(run / MENDED)
    write_file(run / "report.md", page(found).encode("utf-8"))
    described = record(
        "audit",
        dataset=data.name,
        root=data.manifest.root,
        space=of_space(data.space),
        answered_by=place_of(answered, workspace.runs) if answered else "",
        result=found.to_json(),
        notes=found.notes,
    )
    write_file(run / "report.html", html(found).encode("utf-8"))
    write_json(run / "run.json", described)
