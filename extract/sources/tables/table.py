"""A table of pictures -> the manifest of its samples, with a record of every row that is not one."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

from cache.errors import UserError
from cache.text import restored
from extract.settings import AS_NAMED, Columns
from extract.sources.scan import Scan, shown
from extract.sources.tables import parquet
from extract.sources.tables.rows import KNOWN, SOME, Rows, find_pictures, not_utf8, odd

ANSWER = "answer"  # column of a table that grows at its end
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


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
    test, named as folders may be; empty for none). Every other column is kept in `Manifest.columns`. Where there is a
    column `answer`, as `label` numbers what a person said one after the other, the last row of a picture counts.

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
    separator, lines = ("", parquet.read_rows(path)) if _is_parquet(path) else text_rows(path, columns)
    header, _ = next(lines, ([], 0))
    names = _columns(path, header, separator, columns)
    listed = list(lines)
    if ANSWER in names and all(len(values) == len(header) for values, _ in listed):
        listed = list({values[names["path"]]: (values, line) for values, line in listed}.values())
    some = [
        values[names["path"]] + columns.suffix for values, _ in listed[:SOME] if len(values) == len(header)
    ]
    root, prefix, _ = find_pictures(path, some)
    prefix = prefix if root == os.path.abspath(path.parent) else ""
    rows = Rows(path, names, columns.suffix, len(header) - len(names), prefix=prefix)
    for values, line in listed:
        if len(values) != len(header):
            raise UserError(
                f"Expected {len(header)} columns as in the header of {path}, received {len(values)} in line "
                f"{line}. A value that holds {separator!r} must be in double quotes."
            )
        rows.add(values, line)
    return rows.found()


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in parquet.SUFFIXES


def text_rows(path: Path, columns: Columns) -> tuple[str, Iterator[tuple[list[str], int]]]:
    """Return what separates the columns of a text file, and its fields and line numbers; the header is the first."""
    text = _text(path)
    separator = _separator(path, text, columns)
    return separator, _rows(path, text, separator)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"Expected a table of pictures in {path}, but: {error.strerror}.") from error
    if b"\0" in data:
        raise not_utf8(path, "a zero byte, as in UTF-16 ('Unicode text')")
    return data.decode("utf-8-sig", "surrogateescape")


def _separator(path: Path, text: str, columns: Columns) -> str:
    """What the first row separates `path` and `label` by; spreadsheets write semicolons in much of the world."""
    header = text.partition("\n")[0].lower()
    wanted = {(columns.path_column or "path").lower(), (columns.label_column or "label").lower()}

    def named(separator: str) -> int:
        return len(wanted & {name.strip().strip('"') for name in header.split(separator)})

    return max((delimiter(path), ";", "\t", ","), key=named)  # the usual one, of those that are as good


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
    """Map the names of the columns to their positions; those of `KNOWN` in lower case."""
    names = [name.strip() for name in header]
    for asked, known in ((columns.path_column, "path"), (columns.label_column, "label")):
        if asked and asked not in names:
            raise UserError(
                f"Expected a column {asked!r} in {path}, received {shown([name for name in header if name])}. Name one "
                f"of them with --{known}-column."
            )
        # Another column of that name is not the one that is meant.
        names = [
            known if name == asked else "" if asked and name.lower() == known else name for name in names
        ]
    names = [name.lower() if name.lower() in KNOWN else name for name in names]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice or not {"path", "label"} <= set(names):
        named = [name for name in names if name]
        received = f"{shown(twice)} twice" if twice else shown(named) or "an empty file"
        if _is_parquet(path):
            where, how = "the columns", "Rename them, or use --path-column and --label-column."
        else:
            where = "a first row with the columns"
            how = f"Name them there, separated by {separator!r}, or use --path-column and --label-column."
        raise UserError(f"Expected {where} path and label, each once, in {path}, received {received}. {how}")
    if strange := [name for name in names if odd(name)]:
        raise not_utf8(path, f"the column {strange[0]!r}")
    return {name: position for position, name in enumerate(names) if name}
