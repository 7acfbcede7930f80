"""What an unfinished run must remember to go on: its settings, where it started, and the last finished epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from cache.errors import UserError
from cache.storage.json_file import DamagedJson, build, check, read_json
from cache.workspace import Workspace
from classify.commands.finetune.asked import Enlarged, Mirrored
from classify.commands.finetune.result import Chosen
from classify.commands.finetune.start.start import Start
from classify.data.identity import part_hash
from classify.runs.folder import find_run, place_of, relocated, write_json
from classify.training.checkpoint import Checkpoint
from classify.training.history import Epoch, History, Interpolation
from classify.training.settings import Pace, Settings

PLAN, CHECKPOINT, CHOSEN = "plan.json", "checkpoint.h5", "chosen.json"
PART = "checkpoint-part.h5"  # of a training that chooses for another one, on all pictures


def unfinished(workspace: Workspace, named: str | None) -> Path:
    """Find the run to resume: the one named, or the newest of finetune that did not finish.

    Raises
    ------
    UserError
        When there is none, or the one named is finished or no run of finetune.
    """
    if named:
        folder = find_run(workspace, named)
        if (folder / "run.json").exists():
            raise UserError(f"Expected an unfinished run to resume, received {folder}, which is finished.")
        if not (folder / PLAN).exists():
            raise UserError(f"Expected {PLAN} of an unfinished finetune run in {folder}, found none.")
        return folder
    found = [path.parent for path in workspace.runs.glob(f"*-finetune/{PLAN}")]
    open_ones = [path for path in found if not (path / "run.json").exists()]
    if not open_ones:
        raise UserError(
            f"Expected an unfinished finetune run in {workspace.runs}, found none. Run finetune without --resume."
        )
    return max(open_ones, key=lambda path: int(path.name.split("-")[0]))


def settings_of(folder: Path) -> Settings:
    """The settings a run began with."""
    return _settings(_plan(folder))


def start_of(folder: Path) -> Path:
    """The fit-head run it began from, also after the workspace was moved with its runs."""
    plan = _plan(folder)
    return relocated(plan["start"], folder.parent, plan["head_sha256"])


def called_in(folder: Path) -> list[str]:
    """Names of the user's callbacks that a run began with; they are for people, and nothing is imported by them."""
    return [str(name) for name in _plan(folder).get("callbacks") or ()]


def pace_of(folder: Path) -> Pace:
    """The learning rate a run began with; in a run of an older version it is the optimizer's own."""
    return _pace(_plan(folder))


def open_run(
    folder: Path, start: Start, border: str, callbacks: Sequence[str] = (), pace: Pace | None = None
) -> Checkpoint | None:
    """Write the plan of a new run; of a run to go on with, check it and load its last epoch.

    Returns
    -------
    Checkpoint or None
        None where no epoch was finished.

    Raises
    ------
    UserError
        When the data set is no longer the one the run began with.
    """
    manifest = start.data.manifest
    plan: dict[str, Any] = {
        "settings": asdict(start.settings),
        "start": place_of(start.loaded.folder, folder.parent),
        "head_sha256": start.loaded.record["head"]["sha256"],
        "fit": part_hash(manifest, start.train),
        "val": part_hash(manifest, start.val),
        "border": border,
        "space": start.data.space.id,
        "callbacks": list(callbacks),
        "pace": asdict(pace) if pace else None,
    }
    if not (folder / PLAN).exists():
        write_json(folder / PLAN, plan)
        return None
    known = {"space": plan["space"]} | _plan(folder)  # older plans know of one space alone
    changed = [name for name in ("head_sha256", "fit", "val", "border", "space") if known[name] != plan[name]]
    if changed:
        raise UserError(
            f"Expected {folder} to go on with what it began with, but this has changed: {', '.join(changed)}. "
            "Run finetune without --resume."
        )
    path = checkpoint(folder, start.settings)
    return Checkpoint.load(path) if path.exists() else None


def checkpoint(folder: Path, settings: Settings) -> Path:
    """Where the training in progress keeps its last epoch."""
    return folder / (PART if settings.refit and not (folder / CHOSEN).exists() else CHECKPOINT)


def keep_chosen(folder: Path, found: Chosen) -> None:
    """Keep what the validating pictures chose, and what is said of them at that point."""
    kept = {
        "history": asdict(found.history),
        "temperature": found.temperature,
        "logits": found.logits.tolist(),
        "mirrored": found.mirrored.to_json() if found.mirrored else None,
        "enlarged": found.enlarged.to_json() if found.enlarged else None,
        "notes": list(found.notes),
    }
    write_json(folder / CHOSEN, kept)


def chosen(folder: Path) -> Chosen | None:
    """What the validating pictures chose for a training on all; None where they did not yet."""
    path = folder / CHOSEN
    try:
        objects = dict.fromkeys(("history", "mirrored", "enlarged"), dict)
        kept = check(read_json(path), temperature=float, logits=list, notes=list, **objects)
        history = build(History, kept["history"])
        epochs = [build(Epoch, epoch) for epoch in history.epochs]
        line = [build(Interpolation, point) for point in history.line]
        logits = np.array(kept["logits"], float)
        mirrored = build(Mirrored, kept["mirrored"]) if kept["mirrored"] else None
        enlarged = Enlarged.from_json(kept["enlarged"]) if kept.get("enlarged") else None
        history = replace(history, epochs=epochs, line=line)
        return Chosen(history, kept["temperature"], logits, mirrored, enlarged, kept["notes"])
    except FileNotFoundError:
        return None
    except (OSError, DamagedJson, KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"Expected in {path} what the validating pictures of an unfinished run chose, but: {error}. Delete it and "
            "run finetune --resume again: what they judge is trained anew."
        ) from error


def close_run(folder: Path) -> None:
    """Remove what only an unfinished run needs."""
    for name in (CHECKPOINT, PART):
        (folder / name).unlink(missing_ok=True)


def _settings(plan: dict[str, Any]) -> Settings:
    """What a plan says; one of an older version, with no averaged weights or no smaller views, goes on without."""
    return build(Settings, {"average": 0.0, "view_size": 0} | plan["settings"])


def _pace(plan: dict[str, Any]) -> Pace:
    rate = _settings(plan).learning_rate
    return build(Pace, {"rate": rate, "usual": rate} | (plan.get("pace") or {}))


def _plan(folder: Path) -> dict[str, Any]:
    path = folder / PLAN
    texts = dict.fromkeys(("start", "head_sha256", "fit", "val", "border"), str)
    try:
        plan = check(read_json(path), settings=dict, space=str, callbacks=list, pace=dict, **texts)
        if missing := [name for name in ("settings", *texts) if plan.get(name) is None]:
            raise DamagedJson(f"it lacks {', '.join(missing)}")
        _pace(plan)
        return plan
    except (OSError, DamagedJson, UserError) as error:
        raise UserError(
            f"Expected the plan of an unfinished run in {path}, but: {error}. Run finetune without --resume."
        ) from error
