"""`publish`: a run goes to where others look for it, after the fact; nothing that trains knows of such places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.workspace import Workspace
from classify.commands.publish.bundle import bundle_of
from classify.commands.publish.options import PublishOptions
from classify.commands.publish.places import TABLE
from classify.runs.folder import find_run


@dataclass(frozen=True)
class Published:
    """Where a run is now; `place` is a folder, or the id of a run in the database `out`."""

    run: Path
    to: str
    out: Path
    place: str
    sha256: str  # over the files
    files: list[str]
    there: bool  # before

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        return {
            "run": str(self.run),
            "to": self.to,
            "out": str(self.out),
            "place": self.place,
            "sha256": self.sha256,
            "files": self.files,
            "already_there": self.there,
        }

    def to_text(self) -> str:
        """Return where it is."""
        said = "was there already" if self.there else f"published: {', '.join(self.files)}"
        where = self.place if self.to == "folder" else f"run {self.place} in {self.out}"
        return f"{self.run.name} {said}, in {where}" if self.there else f"{self.run.name} {said}\nin {where}"


def publish(workspace: Workspace, named: str | None, to: str, out: Path | None = None) -> Published:
    """Publish a finished run; the same run twice is there once.

    Parameters
    ----------
    workspace : Workspace
    named : str, optional
        The run, as `find_run` takes it.
    to : {"folder", "mlflow"}
    out : Path, optional
        A folder, or a database's file.

    Raises
    ------
    UserError
        For a run that is not there or has no card, or a place that cannot take it.
    """
    bundle, place = bundle_of(find_run(workspace, named)), TABLE[to]
    out = out or Path(place.default)
    address, there = place.publish(bundle, out)
    return Published(bundle.run, to, out, address, bundle.sha256, sorted(bundle.files), there)


def run(options: PublishOptions, say: Callable[[str], None]) -> Published:
    """Answer the command line."""
    out = Path(options.out) if options.out else None
    return publish(Workspace.locate(options.workspace), options.run, options.to, out)
