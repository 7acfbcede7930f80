"""A table of pictures -> the manifest of its samples, with a record of every row that is not one."""

import csv
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cache.errors import UserError
from cache.storage.rejects import Reject
from cache.text import restored
from extract.settings import AS_NAMED, Columns
from extract.sources.places.place import stat_at
from extract.sources.samples import Samples
from extract.sources.scan import SPLIT_NAMES, Scan, shown
from extract.sources.tables import parquet

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_KNOWN = ("path", "label", "split", "key")  # `key` is what `manifest --out` writes; files are hashed anyway


def is_table(source: Path) -> bool:
    """Tell by its suffix whether a source is a table; a folder may have any name."""
    return source.suffix.lower() in (*_DELIMITERS, *parquet.SUFFIXES) and not source.is_dir()


def delimiter(path: Path) -> str:
    """Choose what separates the columns of a table to write: a tabulator in .tsv, a comma elsewhere."""
    return _DELIMITERS.get(path.suffix.lower(), ",")


def read_table(path: Path, columns: Columns = AS_NAMED) -> Scan:
    """List the samples in a table, in its order, without opening any picture.

    The first row names the columns, in any case and order: `path` (relative to the table's folder, or
    absolute), `label` (any text, numbers too; empty for none) and, if there is one, `split` (train, val or
    test, named as folders may be; empty for none). Every other column is kept in `Manifest.columns`.

    Parameters
    ----------
    path : Path
        Text in UTF-8, with or without a byte order mark, separated by commas, semicolons or tabulators. Bytes that
        are not UTF-8 are taken in the path of an existing file only: file names may hold any. Or a Parquet file, see
        `extract.sources.tables.parquet.read_rows`.

    Returns
    -------
    found : Scan
        Its keys are all zero. Rows whose file is missing, or no regular file, are rejects.

    Raises
    ------
    UserError
        If the table cannot be read or understood, says two things of one picture, or none of its files exist.
    """
    if _is_parquet(path):
        separator, lines = "", parquet.read_rows(path)
    else:
        text = _text(path)
        separator = _separator(path, text, columns)
        lines = _rows(path, text, separator)
    header, _ = next(lines, ([], 0))
    names = _columns(path, header, separator, columns)
    rows = _Rows(path, names, columns.suffix, unnamed=len(header) - len(names))
    for values, line in lines:
        if len(values) != len(header):
            raise UserError(
                f"Expected {len(header)} columns as in the header of {path}, received {len(values)} in line "
                f"{line}. A value that holds {separator!r} must be in double quotes."
            )
        rows.add(values, line)
    return rows.found()


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in parquet.SUFFIXES


def _place(path: Path, number: int) -> str:
    return f"row {number}" if _is_parquet(path) else f"line {number}"


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"Expected a table of pictures in {path}, but: {error.strerror}.") from error
    if b"\0" in data:
        raise _not_utf8(path, "a zero byte, as in UTF-16 ('Unicode text')")
    return data.decode("utf-8-sig", "surrogateescape")


def _separator(path: Path, text: str, columns: Columns) -> str:
    """What the first row separates `path` and `label` by; spreadsheets write semicolons in much of the world."""
    usual = delimiter(path)
    header = text.partition("\n")[0].lower()
    wanted = {(columns.path_column or "path").lower(), (columns.label_column or "label").lower()}
    for separator in (usual, ";", "\t", ","):
        if wanted <= {name.strip().strip('"') for name in header.split(separator)}:
            return separator
    return usual


def _rows(path: Path, text: str, separator: str) -> Iterator[tuple[list[str], int]]:
    """Yield the fields and the line number of each row that is not blank."""
    # Strict, because a stray quote would otherwise swallow the rows up to the next one without a word. Not by pandas,
    # which takes such a table, fills short rows, and cannot say which line a row began in.
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for values in table:
            if values:
                yield [restored(value) for value in values], table.line_num
    except csv.Error as error:
        raise UserError(
            f"Expected comma- or tab-separated values in {path}, but line {table.line_num}: {error}. Check "
            "the double quotes there."
        ) from error


def _columns(path: Path, header: list[str], separator: str, columns: Columns) -> dict[str, int]:
    """Map the names of the columns to their positions; those of `_KNOWN` in lower case."""
    names = [name.strip() for name in header]
    for asked, known in ((columns.path_column, "path"), (columns.label_column, "label")):
        if asked and asked not in names:
            raise UserError(
                f"Expected a column {asked!r} in {path}, received {shown([name for name in names if name])}. Name one "
                f"of them with --{known}-column."
            )
        # Another column of that name is not the one that is meant.
        names = [
            known if name == asked else "" if asked and name.lower() == known else name for name in names
        ]
    names = [name.lower() if name.lower() in _KNOWN else name for name in names]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice or not {"path", "label"} <= set(names):
        named = [name for name in names if name]
        received = f"{shown(twice)} twice" if twice else shown(named) or "an empty file"
        if _is_parquet(path):
            where, how = "the columns", "Rename the columns."
        else:
            where, how = (
                "a first row with the columns",
                (f"Name them there, separated by {separator!r}, or with --path-column and --label-column."),
            )
        raise UserError(f"Expected {where} path and label, each once, in {path}, received {received}. {how}")
    if odd := [name for name in names if _odd(name)]:
        raise _not_utf8(path, f"the column {odd[0]!r}")
    return {name: position for position, name in enumerate(names) if name}


class _Rows:
    """Gathers the rows of one table."""

    def __init__(self, path: Path, at: dict[str, int], suffix: str, unnamed: int) -> None:
        self._path, self._root, self._at, self._unnamed = path, os.path.abspath(path.parent), at, unnamed
        self._suffix = suffix
        self._line_of: dict[str, int] = {}
        self._said: dict[str, tuple[str, str]] = {}  # label and split of each path
        self._repeated = 0
        self._rejects: list[Reject] = []
        self._samples = Samples(columns={name: [] for name in at if name not in _KNOWN})

    def add(self, values: list[str], line: int) -> None:
        """Take the fields of one row; its file is looked at, not opened."""
        path = self._clean(values[self._at["path"]])
        path += self._suffix if path else ""
        label = values[self._at["label"]].strip()
        split = values[self._at["split"]].strip() if "split" in self._at else ""
        if split.lower() not in SPLIT_NAMES and split:
            known = ", ".join(SPLIT_NAMES)
            raise UserError(
                f"Expected one of {known}, or nothing, in the column split of {self._path}, received {split!r} in "
                f"{_place(self._path, line)}."
            )
        said = (label, SPLIT_NAMES.get(split.lower(), ""))
        extra = [values[self._at[name]] for name in self._samples.columns]
        if odd := [text for text in (label, *extra) if _odd(text)]:
            raise _not_utf8(self._path, f"{odd[0]!r} in line {line}")
        if path and path in self._said:
            if said != self._said[path]:
                raise UserError(
                    f"Expected one label and split for each picture in {self._path}, received {self._said[path]} in "
                    f"{_place(self._path, self._line_of[path])} and {said} in {_place(self._path, line)} for "
                    f"{path!r}. Remove one of the rows."
                )
            self._repeated += 1
            return
        self._said[path], self._line_of[path] = said, line
        stat = self._stat(path, line)
        if stat is None:
            return
        self._samples.paths.append(path)
        self._samples.labels.append(label)
        self._samples.splits.append(said[1])
        self._samples.stats.append(stat)
        for values_of, text in zip(self._samples.columns.values(), extra, strict=True):
            values_of.append(text)

    def _clean(self, path: str) -> str:
        """Write a path in one way, relative where it lies below the table's folder."""
        parts = path.replace(os.sep, "/").split("/")
        if ".." not in parts:  # behind a link, `link/..` is not where it seems to be
            path = "/".join([parts[0], *(part for part in parts[1:] if part not in ("", "."))])
            path = path.removeprefix("./")
        return path.removeprefix(self._root.replace(os.sep, "/").rstrip("/") + "/")

    def _stat(self, path: str, line: int) -> tuple[int, int] | None:
        """Size and time of the file of a row; None, and a reject, where there is none."""
        address = os.path.join(self._root, path)
        try:
            if not path:
                reason = f"{_place(self._path, line)} has no path"
            elif stat.S_ISREG((status := os.stat(address)).st_mode):
                return status.st_size, status.st_mtime_ns
            else:
                reason = "not a file but a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        except ValueError as error:  # a zero byte, or letters that are none
            reason = f"no file has such a name: {error}"
        except OSError as error:
            if packed := stat_at(address):
                return packed
            if _odd(path):
                raise _not_utf8(self._path, f"{path!r} in line {line}, which no file is named") from error
            reason = f"missing: {error.strerror}"
        self._rejects.append(Reject(None, path, reason, "scan"))
        return None

    def found(self) -> Scan:
        """Make the manifest of what was added."""
        if not self._samples.paths and not self._rejects:
            raise UserError(
                f"Expected rows with pictures in {self._path}, received the names of the columns alone."
            )
        if not self._samples.paths:
            first = (
                f", the first {self._rejects[0].path!r} ({self._rejects[0].reason})" if self._rejects else ""
            )
            raise UserError(
                f"Expected pictures in the rows of {self._path}, received {len(self._rejects)} rows without a "
                f"file{first}. Paths must be absolute, or relative to the table's folder {self._root}."
            )
        notes = []
        if self._repeated:
            notes.append(f"{self._repeated:,} rows repeat the path of another and are left out")
        if self._unnamed:  # pandas writes its row numbers so
            notes.append(f"{self._unnamed:,} columns without a name are left out")
        return self._samples.scan(self._root, self._path.name, self._rejects, notes)


def _odd(text: str) -> bool:
    """Tell whether bytes that are not UTF-8 were carried into a text."""
    return not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text)


def _not_utf8(path: Path, received: str) -> UserError:
    return UserError(
        f"Expected UTF-8 text in {path}, received {received}. Save the table again as UTF-8 (in a spreadsheet: "
        "'CSV UTF-8')."
    )
