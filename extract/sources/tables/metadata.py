"""`metadata.csv` or `metadata.jsonl` beside pictures, as data sets of picture folders have it -> their manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cache.errors import UserError
from extract.settings import Columns
from extract.sources.samples import parts_of
from extract.sources.scan import SPLIT_NAMES, Scan, shown
from extract.sources.tables.rows import Rows
from extract.sources.tables.table import text_rows

NAMES = ("metadata.csv", "metadata.jsonl")
_FILE, _LABEL = "file_name", "label"


def metadata_in(folder: Path, columns: Columns) -> list[str]:
    """List the metadata files in a folder, or in its train, validation and test folders, that say labels.

    One without a column of labels says nothing of classes: the class folders do. With `label_column` it must have it.
    """
    parts = sorted(each.name for each in folder.iterdir() if each.name.lower() in SPLIT_NAMES)
    found = [name for name in NAMES if (folder / name).is_file()]
    found = found or [
        f"{part}/{name}" for part in parts for name in NAMES if (folder / part / name).is_file()
    ]
    if found and not columns.label_column:
        first, _ = next(_records(folder / found[0], columns), ({}, 0))
        return found if _LABEL in first else []
    return found


def read_metadata(folder: Path, files: Sequence[str], columns: Columns) -> Scan:
    """List the pictures that metadata files tell of; `file_name` is relative to the folder of each.

    Raises
    ------
    UserError
        If one cannot be read, lacks `file_name` or the labels, or none of the pictures exist.
    """
    named, labelled = columns.path_column or _FILE, columns.label_column or _LABEL
    others: list[str] | None = None
    rows: Rows | None = None
    for file, part in zip(files, parts_of(files), strict=True):
        path = folder / file
        for record, line in _records(path, columns):
            for name in (named, labelled):
                if name not in record:
                    raise UserError(
                        f"Expected {name!r} in {path}, received {shown(list(record))} in line {line}. Name the right "
                        "columns with --path-column and --label-column."
                    )
            if others is None or rows is None:
                others = [
                    name for name in record if name not in (named, labelled, "split", "path", "label", "key")
                ]
                header = ["path", "label", "split", *others]
                at = {name: position for position, name in enumerate(header)}
                rows = Rows(path, at, columns.suffix, root=os.path.abspath(folder), table="")
            name = record[named]
            where = os.path.join(os.path.dirname(file), name) if name else ""
            extra = [record.get(each, "") for each in others]
            rows.add([where, record[labelled], record.get("split", part), *extra], line)
    if rows is None:
        raise UserError(f"Expected rows in {folder / files[0]}, received none. Write one for each picture.")
    found = rows.found()
    return replace(found, notes=[f"labels are those of {shown(list(files))}", *found.notes])


def _records(path: Path, columns: Columns) -> Iterator[tuple[dict[str, str], int]]:
    """Yield the fields of each row as texts, and the number of its line."""
    if path.suffix == ".csv":
        wanted = replace(columns, path_column=columns.path_column or _FILE)
        _, lines = text_rows(path, wanted)
        header, _ = next(lines, ([], 0))
        names = [name.strip() for name in header]
        for values, line in lines:
            if len(values) != len(names):
                raise UserError(
                    f"Expected {len(names)} columns as in the header of {path}, received {len(values)} in line {line}. "
                    "A value that holds a comma must be in double quotes."
                )
            yield dict(zip(names, values, strict=True)), line
        return
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line, text in enumerate(file, 1):
                if text.strip():
                    record = json.loads(text)
                    if not isinstance(record, dict):
                        raise ValueError(f"{text.strip()[:40]!r} in line {line}")
                    yield {name: _text(value) for name, value in record.items() if _simple(value)}, line
    except (OSError, ValueError) as error:
        raise UserError(
            f"Expected a JSON object in each line of {path}, but: {error}. Correct the file."
        ) from error


def _simple(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _text(value: Any) -> str:
    return "" if value is None else str(value)
