"""Rejects: the record of pictures that could not be embedded."""

import json
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cache.storage.files import make_folder, write_file


@dataclass(frozen=True)
class Reject:
    """One picture that has no embedding, and why."""

    key: bytes | None  # SHA-256, 32 bytes; None when the file could not even be read
    path: str  # relative to the data set's root
    reason: str
    decoder: str  # decoder and limits that refused it: another decoder may accept it

    def __str__(self) -> str:
        return f"{on_one_line(self.path)}: {self.reason}"


def on_one_line(path: str) -> str:
    """A file name on one line, whatever bytes it is made of."""
    return path if path.isprintable() else path.encode("unicode_escape", "backslashreplace").decode("ascii")


def write_rejects(folder: Path, rejects: Iterable[Reject]) -> None:
    """Write one new `.jsonl` file with these rejects into `folder`; none when there is nothing to write."""
    lines = [
        json.dumps(
            {
                "key": None if reject.key is None else reject.key.hex(),
                "path": reject.path,
                "reason": reject.reason,
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
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            try:
                fields = json.loads(line)
                key = None if fields["key"] is None else bytes.fromhex(fields["key"])
                yield Reject(key, fields["path"], fields["reason"], fields["decoder"])
            except (ValueError, KeyError, TypeError) as error:
                warnings.warn(f"Skipped line {number} of {path}, which is damaged: {error}", stacklevel=2)
