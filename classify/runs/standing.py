"""What a run is, in a few words, and which run answers: its head, data set, classes and figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.text import on_one_line
from cache.workspace import Workspace
from classify.runs.folder import best_run
from classify.runs.record import record_of

SHOWN = 10  # classes that a line lists


@dataclass(frozen=True)
class Standing:
    """A run as people know it."""

    run: Path
    head: str  # what answers
    dataset: str  # empty where it is not known, as of a lone .keras file
    figure: str  # as "CV 92.2%"; empty where there is none

    @classmethod
    def of(cls, run: Path, record: dict[str, Any]) -> Standing:
        """Read it off a run.json."""
        head, result = (record.get("head") or {}), (record.get("result") or {})
        name, figure = head.get("name", "a model"), ""
        if record.get("command") == "finetune":
            name = f"fine-tuned {(record.get('start') or {}).get('head', 'network')}"
        elif record.get("command") == "baseline":
            name = "baseline"
        if "cv_accuracy" in head:
            figure = f"CV {head['cv_accuracy']:.1%}"
        elif "val_accuracy" in result:
            figure = f"validation {result['val_accuracy']:.1%}"
        return cls(run, name, record.get("dataset") or "", figure)

    def __str__(self) -> str:
        of = f"{self.head} on {on_one_line(self.dataset)}" if self.dataset else self.head
        return f"{self.run.name} ({', '.join(filter(None, (of, self.figure)))})"


def answering(
    workspace: Workspace, run: Path, record: dict[str, Any], classes: Sequence[str], named: bool
) -> str:
    """Say which run answers, why (`named`: it was asked for), and what it can answer with."""
    standing = Standing.of(run, record)
    current = workspace.state().get("dataset")
    if named:
        why = "which was named"
    elif standing.dataset == current:
        why = f"the best on {on_one_line(standing.dataset)}, the data set used last"
    else:
        why = (
            f"the run fitted last: there is none on {on_one_line(str(current))}, so run fit-head to use that"
        )
    listed = ", ".join(map(on_one_line, classes[:SHOWN])) + (", ..." if len(classes) > SHOWN else "")
    count = "1 class" if len(classes) == 1 else f"{len(classes)} classes"
    return f"answers: {standing}, {why}; {count}: {listed}"


def answers_now(workspace: Workspace, run: Path) -> str:
    """Say what `predict` answers with, now that `run` is finished, and how to have `run` answer where it does not."""
    mine, best = Standing.of(run, record_of(run)), best_run(workspace)
    if best.resolve() == run.resolve():
        return f"predict now answers with {mine}"
    other = Standing.of(best, record_of(best))
    return f"predict answers with {other}: better than {mine}. To use this one: predict --run {run.name}"
