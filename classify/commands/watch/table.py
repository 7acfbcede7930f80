"""answers.csv: a row for each picture, appended and on the disk before the next is looked at."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from cache.errors import UserError
from cache.storage.files import make_folder, write_error
from cache.text import defused, restored

COLUMNS = ("path", "label", "probability", "unknown", "reason", "when")


class Table:
    """The table at a path; UserError where another kind of file is there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answered = self._read()

    def _read(self) -> list[str]:
        """Paths that have an answer already; a last row that a crash cut off does not count."""
        try:
            text = self.path.read_text("utf-8-sig", "surrogateescape")
        except FileNotFoundError:
            return []
        rows = list(csv.reader(io.StringIO(text, newline="")))
        if rows and tuple(rows[0]) != COLUMNS:
            raise UserError(
                f"Expected a table of answers that begins with {','.join(COLUMNS)} in {self.path}, received another "
                "file. Name another with --out."
            )
        return [restored(row[0]) for row in rows[1:] if len(row) == len(COLUMNS) and row[1]]

    def append(self, rows: Sequence[Sequence[str]]) -> None:
        """Add rows, and wait until they are on the disk.

        Raises
        ------
        UserError
            When they cannot be written.
        """
        out = io.StringIO(newline="")
        write = csv.writer(out, lineterminator="\r\n").writerow
        try:
            make_folder(self.path.absolute().parent)
            with open(self.path, "ab+") as file:
                if file.tell() == 0:
                    write(COLUMNS)
                else:
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":  # of a row that was cut off
                        out.write("\r\n")
                for row in rows:
                    write([defused(cell) for cell in row])
                file.write(out.getvalue().encode("utf-8", "surrogateescape"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error
