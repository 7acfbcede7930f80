"""run.json: what a run says of itself, and how it is read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from cache.space import Space
from cache.versions import now, versions

if TYPE_CHECKING:
    from classify.data.division import Division

FORMAT = 1
PACKAGES = ("numpy", "scipy", "scikit-learn", "joblib", "h5py", "keras")


def record(command: str, **facts: Any) -> dict[str, Any]:
    """What run.json is to say: which command made the run and when, then `facts`, then with what software."""
    made = {"format": FORMAT, "command": command, "created": now()}
    return {**made, **facts, "versions": versions(*PACKAGES)}


def of_division(division: Division, counts: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The facts that name a divided data set; `counts` are of pictures, beside those of its parts."""
    return {
        "dataset": division.data.name,
        "root": division.data.manifest.root,
        "data_sha256": division.sha256,
        "split": {**division.split.counts(), **(counts or {})},
    }


def of_space(space: Space) -> dict[str, Any]:
    """The facts that name a space."""
    return {"id": space.id, "json": space.to_json()}


def read_record(run: Path) -> dict[str, Any]:
    """Read run.json.

    Raises
    ------
    UserError
        When the run is not finished, or is no run.
    """
    try:
        found = json.loads((run / "run.json").read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it describes no run")
    except (OSError, ValueError) as error:
        raise UserError(
            f"Expected run.json of a finished run in {run}, but: {error!r}. Name another run with --run."
        ) from error
    return found


def record_of(run: Path) -> dict[str, Any]:
    """Read run.json; empty where the run is not finished, or is no run."""
    try:
        return read_record(run)
    except UserError:
        return {}
