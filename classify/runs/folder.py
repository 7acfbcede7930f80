"""Run folders: named, found again, and the best one remembered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cache.dataset import Embedded
from cache.errors import UserError
from cache.storage.files import write_file
from cache.workspace import Workspace

OWN_MODEL = ("finetune", "baseline")  # commands whose runs answer with a model.keras of their own


def relocated(run: str, runs: Path) -> Path:
    """The folder of a run that was written down as a path, also after the workspace was moved with its `runs`."""
    return Path(run) if Path(run).exists() else runs / Path(run).name


def find_run(workspace: Workspace, named: str | None) -> Path:
    """Return the folder of the run named by its path, its folder's name or its number; without a name, of the best.

    Raises
    ------
    UserError
        When there is none.
    """
    if not named:
        return best_run(workspace)
    numbered = workspace.runs.glob(f"{int(named):03d}-*") if named.isdecimal() else ()
    for path in (Path(named), workspace.runs / named, *numbered):
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
    for path in (Path(known), workspace.runs / Path(known).name) if known else ():
        if (path / "run.json").exists():
            return path
    raise UserError(
        f"Expected a trained head, found none in {workspace.root}. Run `fit-head` first, and `extract FOLDER/` before "
        "it where nothing was extracted yet; or point to another workspace with --workspace."
    )


def remember_best(workspace: Workspace, run: Path, data: Embedded, data_sha256: str, accuracy: float) -> None:
    """Make a run the workspace's best, unless one with a higher CV accuracy on the very same data is still there."""
    known = workspace.state().get("run") or {}
    better = known.get("data_sha256") == data_sha256 and known.get("cv_accuracy", 0) > accuracy
    if better and (Path(known["path"]) / "run.json").exists():
        return
    entry = {
        "path": str(run.resolve()),
        "dataset": data.name,
        "data_sha256": data_sha256,
        "space": data.space.id,
        "cv_accuracy": accuracy,
    }
    workspace.remember(run=entry)


def write_json(path: Path, content: Any) -> None:
    """Write indented ASCII JSON; a setting that is no JSON value is written as its repr."""
    write_file(path, (json.dumps(content, indent=1, default=repr) + "\n").encode("ascii"))
