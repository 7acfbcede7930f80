"""`runs ls`: the runs of a workspace, newest last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.text import align, on_one_line
from cache.workspace import Workspace
from classify.commands.runs.options import ListOptions
from classify.runs.summary import Run, runs_of

COLUMNS = ("", "run", "accuracy", "95 % interval", "n", "written", "MB")


@dataclass(frozen=True)
class Listing:
    """The runs in `folder`, newest last."""

    folder: Path
    runs: Sequence[Run]

    def to_json(self) -> list[dict[str, Any]]:
        """One dictionary a run."""
        return [run.to_json() for run in self.runs]

    def to_text(self) -> str:
        """Two lines a run: its figures in columns, and below them what it is about."""
        if not self.runs:
            return f"no run in {self.folder} yet: `fit-head` makes the first"
        header, *lines = align([COLUMNS, *map(_cells, self.runs)], right=(2, 4, 6)).splitlines()
        told = [header]
        for run, line in zip(self.runs, lines, strict=True):
            about = ": ".join(on_one_line(part) for part in (run.dataset, run.model) if part)
            told += [line, f"     {about}"] if about else [line]
        used = [run.folder.name for run in self.runs if run.used]
        told.append(f"* `predict` uses {used[0]}" if used else "`predict` uses none of them")
        return "\n".join(told)


def _cells(run: Run) -> tuple[str, ...]:
    figure = run.figure
    figures = ("", "", "")
    if figure:
        figures = (f"{figure.accuracy:.1%}", f"{figure.low:.1%} - {figure.high:.1%}", f"{figure.n:,}")
    mark = "*" if run.used else ""
    return (mark, on_one_line(run.folder.name), *figures, run.created[:10], f"{run.bytes / 1e6:.1f}")


def run(options: ListOptions, say: Callable[[str], None]) -> Listing:
    """Answer the command line."""
    workspace = Workspace.locate(options.workspace)
    return Listing(workspace.runs, runs_of(workspace))
