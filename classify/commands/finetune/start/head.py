"""Which head a fine-tune starts from: the one that was named, else the best linear one, else the best."""

from __future__ import annotations

from pathlib import Path

from cache.workspace import Workspace
from classify.models.linear import fold
from classify.runs.folder import best_run, relocated
from classify.runs.head_file import LoadedHead, load_head
from classify.runs.inputs import inputs_of
from classify.runs.record import record_of


def head_of(workspace: Workspace, run: Path | None, *, trust: bool) -> LoadedHead:
    """Load the head to start from: of a run of fit-head, or else the best linear one, or else the best.

    Raises
    ------
    UserError
        When there is none, or this user did not make it and `trust` is false.
    """
    return load_head(workspace, run, trust=trust) if run else _best_linear(workspace, trust)


def _best_linear(workspace: Workspace, trust: bool) -> LoadedHead:
    """The best run's head if it is linear; else the best linear one on the same data and spaces; else the best."""
    best = load_head(workspace, _origin(workspace, best_run(workspace)), trust=trust)
    if fold(best.head) is not None:
        return best
    spaces, others = _spaces(best.record), []
    for folder in workspace.runs.glob("*-fit-head"):
        record = record_of(folder)
        if record.get("data_sha256") == best.record["data_sha256"] and _spaces(record) == spaces:
            others.append((record["head"]["cv_accuracy"], folder, record))
    for _, folder, record in sorted(others, key=lambda other: other[:2], reverse=True):
        loaded = load_head(workspace, folder, trust=trust, record=record)
        if fold(loaded.head) is not None:
            return loaded
    return best


def _spaces(record: dict) -> set[str]:
    return {each.space.id for each in inputs_of(record)}


def _origin(workspace: Workspace, run: Path) -> Path:
    """The fit-head run behind a fine-tuned one, also after the workspace was moved with its runs."""
    record = record_of(run)
    if record.get("command") != "finetune":
        return run
    start = record["start"]
    return relocated(start["run"], workspace.runs, start.get("head_sha256"))
