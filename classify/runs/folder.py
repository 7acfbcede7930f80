"""Run folders: named, found again, and the best one remembered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cache.dataset import Embedded
from cache.errors import UserError
from cache.storage import json_file
from cache.workspace import Workspace
from classify.runs.inputs import inputs_of
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
    raise UserError(
        f"Expected the folder of a run, received {named!r}, which is not there. {_last_ones(workspace)}."
    )


def best_run(workspace: Workspace) -> Path:
    """Return the folder of the best run on the data set used last, else of the run fitted last.

    They are found also after the workspace was moved with its runs.

    Raises
    ------
    UserError
        When there is none.
    """
    state = workspace.state()
    known = (_of(state, state.get("dataset")) or state.get("run") or {}).get("path")
    for path in (workspace.runs / Path(known).name, Path(known)) if known else ():
        if path.is_absolute() and os.path.exists(path / "run.json"):
            return path
    if known:
        raise UserError(
            f"Expected {Path(known).name}, the run that answers, in {workspace.runs}, found none of that name. "
            f"{_last_ones(workspace)}: name one with --run, or run `fit-head`."
        )
    raise UserError(
        f"Expected a trained head, found none in {workspace.root}. Run `fit-head` first, and `extract FOLDER/` before "
        "it where nothing was extracted yet; or point to another workspace with --workspace."
    )


def _last_ones(workspace: Workspace) -> str:
    names = sorted(path.name for path in workspace.runs.glob("[0-9]*-*"))
    there = f"the last ones are {', '.join(names[-5:])}" if names else "there are none"
    return f"Of the runs in {workspace.runs} {there}"


def best_runs(workspace: Workspace) -> set[str]:
    """Names of the folders of the best run of each data set."""
    state = workspace.state()
    entries = [state.get("run"), *(state.get("runs") or {}).values()]
    return {Path(entry["path"]).name for entry in entries if entry}


def remember_best(workspace: Workspace, run: Path, data: Embedded, data_sha256: str, accuracy: float) -> None:
    """Make a run the best of its data set, which becomes the one used last.

    A run with a higher CV accuracy on the very same data stays the best while it is there.
    """
    known = _of(workspace.state(), data.name)
    better = known.get("data_sha256") == data_sha256 and known.get("cv_accuracy", 0) > accuracy
    entry = {
        "path": place_of(run, workspace.runs),
        "dataset": data.name,
        "data_sha256": data_sha256,
        "space": ",".join(each.space.id for each in inputs_of(record_of(run))),
        "cv_accuracy": accuracy,
    }
    if better and os.path.exists(relocated(known["path"], workspace.runs) / "run.json"):
        entry = known
    workspace.remember(
        dataset=data.name,
        space=",".join(space.id for space in data.spaces),
        run=entry,
        runs={data.name: entry},
    )


def _of(state: dict[str, Any], dataset: str | None) -> dict[str, Any]:
    """The best run on a data set, as it was remembered; older workspaces remember that of the last one alone."""
    last = state.get("run") or {}
    return last if last.get("dataset") == dataset else (state.get("runs") or {}).get(dataset) or {}


def write_json(path: Path, content: Any) -> None:
    """Write indented ASCII JSON, sealed; a setting that is no JSON value is written as its repr."""
    json_file.write_json(path, content)
