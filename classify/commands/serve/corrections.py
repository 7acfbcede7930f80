"""corrections.csv: pictures with the label that a person gave in the place of a wrong answer; `extract` reads it."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path
from threading import Lock

from cache.errors import UserError
from cache.storage.files import locked, make_folder, write_file
from cache.text import defused
from cache.versions import now
from extract.pictures.decoding import open_header
from extract.settings import Decoding

FILE = "corrections.csv"
COLUMNS = ("path", "label", "answer", "run", "when")
LONGEST = 200  # letters of a label
SUFFIXES = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "TIFF": ".tif",
    "HEIF": ".heic",
}  # others are called as their format


class Corrections:
    """A folder with pictures and the table of their labels, made with the first of them."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder, self._run, self._lock = folder, run, Lock()

    @property
    def file(self) -> Path:
        """The table."""
        return self._folder / FILE

    def add(self, data: bytes, label: str, answer: str) -> int:
        """Keep a picture with its label, in the place of an earlier label for it; both are on the disk afterwards.

        The table is read again each time: rows of other programs stay.

        Parameters
        ----------
        data : bytes
            A picture file.
        label : str
            Its class, which may be a new one.
        answer : str
            What the run had said.

        Returns
        -------
        int
            How many pictures the table has now.

        Raises
        ------
        UserError
            For a label that is none, a table that cannot be understood, and where nothing can be written.
        RejectedImage
            When the bytes are no picture.
        """
        label = label.strip()
        if not label or len(label) > LONGEST or not label.isprintable():
            raise UserError(
                f"Expected a label of 1 to {LONGEST} letters, received {label[:40]!r}. Give another."
            )
        kind = str(open_header(data, 224, Decoding()).image.format)
        name = hashlib.sha256(data).hexdigest()[:16] + SUFFIXES.get(kind, f".{kind.lower()}")
        with self._lock:
            make_folder(self._folder.absolute())
            with locked(self._folder):
                header, rows = self._read()
                if not (self._folder / name).exists():
                    write_file(self._folder / name, data)
                said = dict(zip(COLUMNS, (name, label, answer, self._run, now()), strict=True))
                path = header.index("path")
                rows = [row for row in rows if row[path] != name]
                rows.append([defused(said.get(column, "")) for column in header])
                out = io.StringIO(newline="")
                csv.writer(out, lineterminator="\r\n").writerows([header, *rows])
                write_file(self.file, out.getvalue().encode("utf-8", "surrogateescape"))
        return len(rows)

    def _read(self) -> tuple[list[str], list[list[str]]]:
        try:
            text = self.file.read_text("utf-8-sig", "surrogateescape")
        except FileNotFoundError:
            return list(COLUMNS), []
        header, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row] or [[]]
        if not {"path", "label"} <= {*header} or any(len(row) != len(header) for row in rows):
            raise UserError(
                f"Expected a table with the columns path and label, and as many values in each row, in {self.file}: "
                "another program changed it. Put it right or move it away, and give the label again."
            )
        return header, rows
