"""labels.csv: every answer a row, on the disk before the next question; the last row of a picture counts.

A table that `extract` reads, and that other programs may edit: columns of theirs stay, and in rows of ours are empty.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from cache.errors import UserError
from cache.storage.files import make_folder, open_regular, sync_folder, write_error
from cache.text import defused, restored

CHOSEN, UNDONE = "chosen", "undone"  # beside how the order came to a picture: by the person, and taken back
_NEEDED = ("path", "label", "answer")


@dataclass(frozen=True)
class Answer:
    """A row: what a person said of a picture, and what the head had said before."""

    path: str  # relative to the table's folder where it lies below, else absolute
    label: str  # empty: passed over, or taken back
    key: str = ""  # 64 hexadecimal digits
    answer: str = (
        ""  # number of the row, from 1: a table with this column is read row by row, the last one counts
    )
    drawn: str = ""  # how the picture came to be asked about
    guess: str = ""  # class that the head said before, if there was a head
    probability: str = ""  # of that class


class Labels:
    """The table, open for more.

    Parameters
    ----------
    path : Path
        It is made with the first answer, and continued where it is there.

    Raises
    ------
    UserError
        For a file that is no such table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: list[Answer] = []
        self._columns: Sequence[str] = [field.name for field in fields(Answer)]
        self._separator, self._size, self._glue = ",", 0, ""
        self._read()

    def _read(self) -> None:
        try:
            with open_regular(self.path) as file:
                data = file.read()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise UserError(f"Expected a table of labels in {self.path}, but: {error.strerror}.") from error
        self.answers, self._size, self._glue = [], len(data), ""
        if not data:
            return
        text = data.decode("utf-8-sig", "surrogateescape")
        self._separator = max(",;\t", key=text.partition("\n")[0].count)
        header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=self._separator)
        self._columns = [name.strip() for name in header]
        if missing := [name for name in _NEEDED if name not in self._columns]:
            raise UserError(
                f"Expected a table of answers with the columns {', '.join(_NEEDED)} in {self.path}, received one "
                f"without {' and '.join(missing)}. Name another file with --labels: it is made."
            )
        if not data.endswith(b"\n"):
            if rows and len(rows[-1]) < len(header):  # it was being written when the power went
                rows.pop()
                self._size = data.rindex(b"\n") + 1
            else:
                self._glue = "\n"
        for row in rows:
            named = dict(zip(self._columns, map(restored, row), strict=False))
            if named.get("path"):
                known = {field.name: named.get(field.name, "").strip() for field in fields(Answer)}
                self.answers.append(Answer(**{**known, "path": named["path"]}))

    def add(self, answers: Sequence[Mapping[str, str]]) -> list[Answer]:
        """Append answers and see them onto the disk, all or none.

        Parameters
        ----------
        answers : sequence of mappings
            The fields of `Answer` but its number.

        Raises
        ------
        UserError
            When the disk is full or the file cannot be written: the table is as it was.
        """
        make_folder(self.path.absolute().parent)
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
            try:
                if os.lseek(handle, 0, os.SEEK_END) != self._size:
                    self._read()  # another program has written, or half a row is left
                made, data = self._rows(answers)
                self._append(handle, data)
            finally:
                os.close(handle)
            if not self.answers:
                sync_folder(self.path.absolute().parent)
        except OSError as error:
            raise write_error(self.path, error) from error
        self._size, self._glue = self._size + len(data), ""
        self.answers += made
        return made

    def _rows(self, answers: Sequence[Mapping[str, str]]) -> tuple[list[Answer], bytes]:
        first, text = len(self.answers) + 1, io.StringIO(self._glue)
        text.seek(0, os.SEEK_END)
        made = [Answer(**{**each, "answer": str(first + at)}) for at, each in enumerate(answers)]
        writer = csv.DictWriter(
            text, self._columns, delimiter=self._separator, lineterminator="\n", extrasaction="ignore"
        )
        if not self._size:
            writer.writeheader()
        writer.writerows({name: defused(value) for name, value in asdict(each).items()} for each in made)
        return made, text.getvalue().encode("utf-8", "surrogateescape")

    def _append(self, handle: int, data: bytes) -> None:
        os.ftruncate(handle, self._size)
        os.lseek(handle, 0, os.SEEK_END)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, self._size)  # half a row helps nobody
            raise

    def last(self) -> dict[str, Answer]:
        """The answer that counts for each path, in the order in which they were given."""
        found: dict[str, Answer] = {}
        for each in self.answers:
            found.pop(each.path, None)
            found[each.path] = each
        return found
