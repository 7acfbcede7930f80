"""run.json: what a run says of itself, and how it is read again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from cache.space import Space
from cache.storage.json_file import DamagedJson, check, read_json
from cache.versions import now, versions

if TYPE_CHECKING:
    from classify.data.division import Division

FORMAT = 1
# What commands read of a run.json.
TYPES: dict[str, type] = {
    **dict.fromkeys(("command", "dataset", "root", "data_sha256"), str),
    **dict.fromkeys(("head", "space", "parameters", "start", "model", "result", "versions"), dict),
    "format": int,
    "sample": list,
    "inputs": list,
}
INNER: dict[str, dict[str, type]] = {
    "head": {"name": str, "sha256": str, "cv_accuracy": float, "classes": list, "arrays": dict},
    "space": {"id": str, "json": str},
    "start": {"run": str, "head_sha256": str},
    "model": {"file": str, "sha256": str, "classes": list},
}
# What they read of each of the inputs of a head.
INPUT: dict[str, type] = {"id": str, "json": str, "parts": list}
# Commands whose runs name the head or model of another one in place of their own.
ANSWERS = ("predict", "evaluate")
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
        When the run is not finished, is no run, or its run.json is damaged; and later, when somebody asks the record
        for what it lacks.
    """
    try:
        found = read_json(run / "run.json")
        named = INNER if found.get("command") in ANSWERS else {}
        check(found, **{name: str if name in named else kind for name, kind in TYPES.items()})
        for name in INNER.keys() - named.keys():
            check(found.get(name) or {}, **INNER[name])
        for each in found.get("inputs") or ():
            _check_input(each)
    except (OSError, DamagedJson) as error:
        raise UserError(
            f"Expected run.json of a finished run in {run}, but: {error}. Name another run with --run, or move this "
            "folder away."
        ) from error
    return _Object(run, found)


def _check_input(content: Any) -> None:
    parts = check(content, **INPUT).get("parts") or ()
    if content.get("json") is None or not all(isinstance(part, str) for part in parts):
        raise DamagedJson("one of its 'inputs' has no space, or parts without a name")


def record_of(run: Path) -> dict[str, Any]:
    """Read run.json; empty where there is none: the run is not finished, or is no run.

    Raises
    ------
    UserError
        When it is damaged.
    """
    return read_record(run) if os.path.lexists(run / "run.json") else {}


class _Object(dict[str, Any]):
    """An object of a run.json, which says where something is missing."""

    def __init__(self, run: Path, content: dict[str, Any]) -> None:
        super().__init__({k: _Object(run, v) if isinstance(v, dict) else v for k, v in content.items()})
        self._run = run

    def __missing__(self, key: str) -> Any:
        raise UserError(
            f"Expected {key!r} in the run.json of {self._run}, which has {', '.join(self) or 'nothing'} there. Name "
            "another run with --run."
        )
