"""`report`: make the page of a run again, or put two runs side by side."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cache.errors import UserError
from cache.text import sized
from cache.workspace import Workspace
from classify.commands.report.options import ReportOptions
from classify.metrics.comparison import Comparison
from classify.pages.page import write_page
from classify.pages.pair import write_pair
from classify.runs.folder import find_run


@dataclass(frozen=True)
class Page:
    """The file that was written, about one run or two; `comparison` is of two."""

    file: Path
    runs: list[Path]
    comparison: Comparison | None = None
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        return {
            "file": str(self.file),
            "runs": [str(run) for run in self.runs],
            "comparison": self.comparison.to_json() if self.comparison else None,
            "notes": self.notes,
        }

    def to_text(self) -> str:
        """Return what the paired test says, and where the page is."""
        told = [self.comparison.sentence()] if self.comparison else []
        return "\n".join([*told, f"{self.file} ({sized(self.file.stat().st_size)})"])


def report(workspace: Workspace, runs: list[Path]) -> Page:
    """Write report.html into the folder of a run, or a page that compares two into the folder of the first.

    Raises
    ------
    UserError
        For a run without answers to labelled pictures, two that share no picture, or another number of them.
    """
    if len(runs) == 1:
        return Page(write_page(workspace, runs[0]), runs)
    if len(runs) != 2 or runs[0].resolve() == runs[1].resolve():
        named = ", ".join(run.name for run in runs)
        raise UserError(
            f"Expected one run, or two different ones to compare, received {named}. Name two of them."
        )
    file, comparison = write_pair(workspace, *runs)
    return Page(file, runs, comparison)


def run(options: ReportOptions, say: Callable[[str], None]) -> Page:
    """Answer the command line."""
    workspace = Workspace.locate(options.workspace)
    found = report(workspace, [find_run(workspace, each) for each in options.runs or (None,)])
    if options.open and not webbrowser.open(found.file.resolve().as_uri()):
        found.notes.append("no web browser was found: open the file yourself")
    return found
