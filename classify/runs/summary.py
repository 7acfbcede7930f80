"""What a run folder holds, told in a line: the command, what answered, how well, when, and how large it is."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cache.errors import UserError
from cache.space import side_by_side, tell_apart
from cache.workspace import Workspace
from classify.metrics.intervals import wilson
from classify.runs.folder import best_run, best_runs
from classify.runs.inputs import inputs_of
from classify.runs.record import record_of

NAME = re.compile(r"(\d+)-(.+)")
UNFINISHED = "unfinished"
DAMAGED = "its run.json is damaged"


@dataclass(frozen=True)
class Figure:
    """Accuracy on the n pictures of a test part, with Wilson's 95 % interval."""

    accuracy: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Run:
    """One run folder. What its run.json does not say is empty; `created` is ISO 8601 in UTC."""

    folder: Path
    number: int
    command: str
    finished: bool
    dataset: str
    model: str  # head, network or what else the run is about
    figure: Figure | None
    created: str
    bytes: int
    start: str  # name of the run that it began from
    best: bool  # of its data set
    used: bool  # by `predict`, unless it is told another

    @classmethod
    def of(cls, folder: Path, *, best: bool = False, used: bool = False) -> Run:
        """Read a folder that is named as runs are."""
        number, command = NAME.fullmatch(folder.name).groups()  # type: ignore[union-attr]
        record, unknown = _record(folder)
        begun = _plan(folder)
        began = str(_at(record, "start", "run") or begun.get("start") or "")
        dataset = _at(record, "dataset") or _at(record, "result", "dataset") or ""
        tell = _MODELS.get(command, lambda record: "")
        return cls(
            folder=folder,
            number=int(number),
            command=command,
            finished=bool(record),
            dataset=str(dataset),
            model=tell(record) if record else unknown,
            figure=_figure(record),
            created=str(record.get("created") or _changed(folder)),
            bytes=sum(_size(path) for path in folder.rglob("*")),
            start=Path(began).name,
            best=best,
            used=used,
        )

    def to_json(self) -> dict[str, Any]:
        """The run as plain Python values; sizes in megabytes of 10^6 bytes."""
        figure = self.figure
        return {
            "run": str(self.folder),
            "number": self.number,
            "command": self.command,
            "finished": self.finished,
            "dataset": self.dataset,
            "model": self.model,
            "test_accuracy": figure and figure.accuracy,
            "ci_low": figure and figure.low,
            "ci_high": figure and figure.high,
            "test_n": figure and figure.n,
            "created": self.created,
            "megabytes": round(self.bytes / 1e6, 1),
            "started_from": self.start,
            "best": self.best,
            "used": self.used,
        }


def runs_of(workspace: Workspace) -> list[Run]:
    """List the runs of a workspace, newest last."""
    try:
        used = best_run(workspace).resolve()
    except UserError:
        used = None
    folders = [path for path in workspace.runs.glob("*") if path.is_dir() and NAME.fullmatch(path.name)]
    best = best_runs(workspace)
    found = [Run.of(path, best=path.name in best, used=path.resolve() == used) for path in folders]
    return sorted(found, key=lambda run: (run.number, run.command))


def _record(folder: Path) -> tuple[dict[str, Any], str]:
    """What run.json says; where it says nothing, what the run is instead."""
    try:
        return record_of(folder), UNFINISHED
    except UserError:
        return {}, DAMAGED


def _at(record: Any, *names: str) -> Any:
    for name in names:
        record = record.get(name) if isinstance(record, dict) else None
    return record


def _on_network(record: dict[str, Any], head: str) -> str:
    with contextlib.suppress(UserError, LookupError, TypeError):
        return f"{head} on {side_by_side(tell_apart([each.space for each in inputs_of(record)]))}"
    return head


def _kept(record: dict[str, Any]) -> str:
    head = _at(record, "start", "head") or "?"
    return _on_network(
        record, f"{head}, kept" if _at(record, "result", "alpha") == 0 else f"{head}, fine-tuned"
    )


_MODELS: dict[str, Callable[[dict[str, Any]], str]] = {
    "fit-head": lambda record: _on_network(record, str(_at(record, "head", "name") or "")),
    "finetune": _kept,
    "baseline": lambda record: "small network from scratch",
    "compare-backbones": lambda record: f"elected {_at(record, 'result', 'winner')}",
    "predict": lambda record: f"answers of {Path(_answered(record)).name}",
    "show": lambda record: "pictures",
}


def _answered(record: dict[str, Any]) -> str:
    """The run that answered: a head is named by its folder, a model by its file."""
    return str(_at(record, "head") or Path(str(_at(record, "model") or "?")).parent)


def _figure(record: dict[str, Any]) -> Figure | None:
    result = record.get("result")
    accuracy, n = _at(result, "test_accuracy"), _at(result, "test_n")
    if accuracy is None:
        accuracy, n = _at(record, "head", "test_accuracy"), _at(record, "split", "test")
    if not isinstance(accuracy, int | float) or not isinstance(n, int):
        return None
    low, high = wilson(accuracy * n, n)
    return Figure(float(accuracy), float(low), float(high), n)


def _plan(folder: Path) -> dict[str, Any]:
    """What an unfinished finetune wrote down at its start; empty where there is none."""
    with contextlib.suppress(OSError, ValueError):
        plan = json.loads((folder / "plan.json").read_text("utf-8"))
        return plan if isinstance(plan, dict) else {}
    return {}


def _changed(folder: Path) -> str:
    try:
        return datetime.fromtimestamp(folder.stat().st_mtime, UTC).isoformat(timespec="seconds")
    except OSError:  # gone meanwhile
        return ""


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.lstat().st_size
    return 0
