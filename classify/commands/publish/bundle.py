"""What is published of a run: its card, its model, and run.json without what tells of the machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cache.errors import UserError
from cache.storage.files import open_regular
from classify.report.card import CARD
from classify.runs.record import read_record

MODELS = ("head.h5", "model.keras", "head.joblib")  # the first that is there answers
README = "README.md"  # where hubs look for the card
PRIVATE = ("root", "notes", "tables", "run")  # paths, and sentences that may name some


@dataclass(frozen=True)
class Bundle:
    """The files of a run to publish, by name; `sha256` is over all of them."""

    run: Path
    record: Mapping[str, Any]
    files: Mapping[str, bytes]

    @property
    def sha256(self) -> str:
        """In hex; the same for the same run."""
        digest = sha256()
        for name in sorted(self.files):
            digest.update(f"{name} {len(self.files[name])}\n".encode() + self.files[name])
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """Of a folder that holds it."""
        safe = "".join(letter if letter.isalnum() else "-" for letter in self.record["dataset"])
        return f"{safe[:40]}-{self.record['command']}-{self.sha256[:12]}"


def bundle_of(run: Path) -> Bundle:
    """Gather what is published of a run.

    Raises
    ------
    UserError
        When it has no card, as a run of an older version, or no model of its own.
    """
    record = read_record(run)
    models = [name for name in MODELS if (run / name).is_file()]
    if not (run / CARD).is_file() or not models:
        lacking = CARD if models else "a head or model"
        raise UserError(
            f"Expected a run of fit-head, finetune or baseline with {CARD}, received {run}, which lacks {lacking}: run "
            "the command again, as an older version made this one, or name another run."
        )
    described = json.dumps(_public(record), indent=1, sort_keys=True) + "\n"
    files = {README: _read(run / CARD), "run.json": described.encode()}
    files |= {name: _read(run / name) for name in (models[0], "confusion.png") if (run / name).is_file()}
    return Bundle(run, record, files)


def _read(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read()


def _public(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without paths; of the run that it began from, its name."""
    kept: dict[str, Any] = {}
    for key, value in record.items():
        if key == "start":
            kept[key] = {**value, "run": Path(value["run"]).name}
        elif key not in PRIVATE:
            kept[key] = _public(value) if isinstance(value, dict) else value
    return kept
