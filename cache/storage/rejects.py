"""Rejects: the record of pictures that could not be embedded."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cache.frame import TEXT, frame
from cache.storage.files import make_folder, open_regular, write_file
from cache.storage.json_file import build, check, parse_object
from cache.text import on_one_line

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Reject:
    """One picture that has no embedding, and why."""

    key: bytes | None  # SHA-256, 32 bytes; None when the file could not even be read
    path: str  # relative to the data set's root
    reason: str
    decoder: str  # decoder and limits that refused it: another decoder may accept it

    def __str__(self) -> str:
        return f"{on_one_line(self.path)}: {self.reason}"

    def to_json(self) -> dict[str, str]:
        """What scripts are told of it."""
        return {"path": self.path, "reason": self.reason}


def write_rejects(folder: Path, rejects: Iterable[Reject]) -> None:
    """Write one new `.jsonl` file with these rejects into `folder`; none when there is nothing to write."""
    lines = [
        json.dumps(
            {
                "key": None if reject.key is None else reject.key.hex(),
                **reject.to_json(),
                "decoder": reject.decoder,
            }
        )
        for reject in rejects
    ]
    if lines:
        make_folder(folder)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        text = "\n".join(lines) + "\n"  # ASCII: JSON escapes names that are not UTF-8
        write_file(folder / f"{stamp}-{os.urandom(4).hex()}.jsonl", text.encode("ascii"))


def read_rejects(folder: Path) -> Iterator[Reject]:
    """Yield all rejects recorded in `folder`, oldest first; a damaged line is skipped with a warning."""
    for path in sorted(folder.glob("[!.]*.jsonl")):
        try:
            with open_regular(path) as file:
                lines = file.read().splitlines()
        except OSError as error:
            warnings.warn(f"Skipped {path}, which cannot be read: {error.strerror}", stacklevel=2)
            continue
        for number, line in enumerate(lines, 1):
            try:
                fields = check(parse_object(line), key=str)
                key = None if fields["key"] is None else bytes.fromhex(fields["key"])
                yield build(Reject, fields | {"key": key})
            except (ValueError, KeyError) as error:
                warnings.warn(f"Skipped line {number} of {path}, which is damaged: {error}", stacklevel=2)


def to_frame(rejects: Sequence[Reject]) -> pd.DataFrame:
    """Return rejects as a DataFrame, one a row.

    Columns, all object: `path`, `reason`, `decoder` (texts) and `key` (64 hex digits; None where the file could not
    even be read).
    """
    records = [vars(each) | {"key": each.key.hex() if each.key else None} for each in rejects]
    return frame(dict.fromkeys(("path", "reason", "decoder", "key"), TEXT), records)
