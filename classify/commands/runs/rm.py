"""`runs rm`: delete runs, unless something needs them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.errors import UserError
from cache.storage.files import forget
from cache.text import sized
from cache.workspace import Workspace
from classify.commands.runs.options import RemoveOptions
from classify.runs.folder import find_run
from classify.runs.summary import Run, runs_of


@dataclass(frozen=True)
class Removed:
    """The runs that were deleted, and what that means for others."""

    runs: Sequence[Run]
    notes: Sequence[str] = ()

    @property
    def bytes(self) -> int:
        """What was freed."""
        return sum(run.bytes for run in self.runs)

    def to_json(self) -> dict[str, Any]:
        """The result as the command line's JSON; sizes in megabytes of 10^6 bytes."""
        removed = [{"run": str(run.folder), "megabytes": round(run.bytes / 1e6, 1)} for run in self.runs]
        return {"removed": removed, "megabytes": round(self.bytes / 1e6, 1), "notes": list(self.notes)}

    def to_text(self) -> str:
        """A line for each run, and the sum of several."""
        lines = [f"removed {run.folder.name}: {sized(run.bytes)} freed" for run in self.runs]
        total = [f"{len(self.runs)} runs: {sized(self.bytes)} freed"] if len(self.runs) > 1 else []
        return "\n".join(lines + total)


def remove(workspace: Workspace, named: Sequence[str], *, force: bool = False) -> Removed:
    """Delete runs; the log of readings, the splits and the cache stay.

    Parameters
    ----------
    workspace : Workspace
    named : sequence of str
        Numbers, names or folders of runs of this workspace.
    force : bool
        Also those that something needs.

    Raises
    ------
    UserError
        For what is no run of this workspace, and without `force` for a run that is needed; nothing is deleted then.
    """
    everything = runs_of(workspace)
    known = {run.folder.resolve(): run for run in everything if not run.folder.is_symlink()}
    chosen: dict[Path, Run] = {}
    for name in named:
        folder = find_run(workspace, name).resolve()
        if folder not in known:
            raise UserError(
                f"Expected a run in {workspace.runs}, received {name}, which is none of its. `runs ls` lists them; "
                "delete any other folder by hand."
            )
        chosen[folder] = known[folder]
    needed = [reason for run in chosen.values() for reason in _needs(run, everything, list(chosen.values()))]
    if needed and not force:
        raise UserError(
            f"Expected runs that nothing needs, but {'; '.join(needed)}. Nothing was deleted. Leave them out, or pass "
            "--force."
        )
    workspace.reserve_run_numbers()
    for run in chosen.values():
        _delete(run.folder)
    return Removed(list(chosen.values()), needed)


def _needs(run: Run, everything: Sequence[Run], chosen: Sequence[Run]) -> list[str]:
    """Why a run should stay, one sentence a reason."""
    name, staying = run.folder.name, [each for each in everything if each not in chosen]
    reasons = []
    if run.used:
        reasons.append(f"`predict` uses {name}; without it, `fit-head` or --run has to name another")
    elif run.best:
        reasons.append(
            f"{name} is the best of {run.dataset}: `predict` uses it once that data set is used again"
        )
    if heirs := [each.folder.name for each in staying if each.start == name]:
        reasons.append(f"{', '.join(heirs)} started from {name}, and looks for its head there")
    if not run.finished:
        reasons.append(f"{name} is not finished: it may be running, or `finetune --resume` may go on with it")
    elif run.command == "compare-backbones":
        reasons.append(f"{name} tells `fit-head` which test pictures elected the backbone")
    return reasons


def _delete(folder: Path) -> None:
    forget(folder)
    try:
        (folder / "run.json").unlink(missing_ok=True)  # first: what a kill leaves is an unfinished run
        shutil.rmtree(folder)
    except OSError as error:
        raise UserError(
            f"Expected to delete {folder}, but: {error}. Runs named before it are gone, and it counts as unfinished; "
            "see whose it is, and run the same command with --force."
        ) from error


def run(options: RemoveOptions, say: Callable[[str], None]) -> Removed:
    """Answer the command line."""
    return remove(
        Workspace.locate(options.workspace), [str(run) for run in options.runs], force=options.force
    )
