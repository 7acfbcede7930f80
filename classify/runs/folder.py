"""Run folders: named, found again, and the best one remembered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cache.dataset import Embedded
from cache.errors import UserError
from cache.storage import json_file
from cache.workspace import Workspace
from classify.runs.record import record_of

OWN_MODEL = ("finetune", "baseline")  # commands whose runs answer with a model.keras of their own


def place_of(run: Path, runs: Path) -> str:
    """What to write down of a run's folder: its name where it is one of `runs`, so that a copy names its own copy."""
    return run.name if run.resolve().parent == runs.resolve() else str(run.resolve())


def relocated(written: str, runs: Path, head_sha256: str | None = None) -> Path:
    """The folder of a run that was written down, also after the workspace was moved or copied with its `runs`.

    Older versions wrote full paths, which lead from a copy back to the original: a run of that name in `runs` comes
    first, unless it has another head than `head_sha256`.
    """
    here, there = runs / Path(written).name, Path(written)
    if not there.is_absolute() or not os.path.isdir(there):
        return here
    found = (record_of(here).get("head") or {}).get("sha256") if os.path.isdir(here) else None
    same = head_sha256 is None or found == head_sha256
    return here if os.path.isdir(here) and same else there


def find_run(workspace: Workspace, named: str | None) -> Path:
    """Return the folder of the run named by its path or by its folder's name alone; without a name, of the best.

    Raises
    ------
    UserError
        When there is none.
    """
    if not named:
        return best_run(workspace)
    for path in (Path(named), workspace.runs / named):
        if path.is_dir():
            return path
    names = sorted(path.name for path in workspace.runs.glob("[0-9]*-*"))
    there = f"the last ones are {', '.join(names[-5:])}" if names else "there are none"
    raise UserError(
        f"Expected the folder of a run, received {named!r}, which is not there. Of the runs in "
        f"{workspace.runs} {there}."
    )


def best_run(workspace: Workspace) -> Path:
    """Return the folder of the best run so far, also after the workspace was moved with its runs.

    Raises
    ------
    UserError
        When there is none.
    """
    known = (workspace.state().get("run") or {}).get("path")
    for path in (workspace.runs / Path(known).name, Path(known)) if known else ():
        if path.is_absolute() and os.path.exists(path / "run.json"):
            return path
    raise UserError(
        f"Expected a trained head, found none in {workspace.root}. Run `fit-head` first, and `extract FOLDER/` before "
        "it where nothing was extracted yet; or point to another workspace with --workspace."
    )


def remember_best(workspace: Workspace, run: Path, data: Embedded, data_sha256: str, accuracy: float) -> None:
    """Make a run the workspace's best, unless one with a higher CV accuracy on the very same data is still there."""
    known = workspace.state().get("run") or {}
    better = known.get("data_sha256") == data_sha256 and known.get("cv_accuracy", 0) > accuracy
    if better and os.path.exists(relocated(known["path"], workspace.runs) / "run.json"):
        return
    entry = {
        "path": place_of(run, workspace.runs),
        "dataset": data.name,
        "data_sha256": data_sha256,
        "space": data.space.id,
        "cv_accuracy": accuracy,
    }
    workspace.remember(run=entry)


def write_json(path: Path, content: Any) -> None:
    """Write indented ASCII JSON, sealed; a setting that is no JSON value is written as its repr."""
    json_file.write_json(path, content)
