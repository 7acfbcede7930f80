"""Parquet files that hold the pictures themselves, as Hugging Face publishes data sets -> the manifest of their rows.

The pictures are not read here: an address leads to each (`extract.sources.places.parquet`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.errors import UserError
from extract.settings import Columns
from extract.sources.places.packed import stamp
from extract.sources.places.parquet import member
from extract.sources.samples import UNKNOWN, Samples, parts_of
from extract.sources.scan import SPLIT_NAMES, Scan, shown
from extract.sources.tables.parquet import package, text

_BATCH = 65_536  # rows
_LABELS = ("label", "labels", "class", "category")


@dataclass(frozen=True)
class _Layout:
    """Which columns of a file say what."""

    picture: str
    named: bool  # there are file names beside the bytes
    label: str
    classes: Sequence[str]  # names of whole numbers, where the file has some
    split: str | None
    others: list[str]  # kept as texts


def holds_pictures(path: Path, columns: Columns) -> bool:
    """Tell whether a Parquet file has a column of picture bytes, and not one of paths."""
    schema = _schema(path)
    pictures = _pictures(package(path), schema)
    if columns.path_column:
        return columns.path_column in pictures
    return bool(pictures) and not any(name.strip().lower() == "path" for name in schema.names)


def read_parquet(root: str, table: str, files: Sequence[str], columns: Columns) -> Scan:
    """List the rows of one Parquet file or several, in their order, without reading a picture.

    The picture is a column of bytes, or of a structure of `bytes` and `path`; the class is the column `label` or the
    like, whose names are in the schema's metadata where whole numbers stand for them.

    Parameters
    ----------
    root : str
        Absolute folder.
    table : str
        Name of the only file, where that is the source; empty for a folder of files.
    files : sequence of str
        Below `root`. Where their names, or those of their folders, say train and test, they give the parts.
    columns : Columns

    Raises
    ------
    UserError
        If a file cannot be read, or it is not clear which column holds the pictures, or the classes.
    """
    samples, layouts = Samples(), []
    for file, part in zip(files, parts_of(files), strict=True):
        path = Path(root, file)
        layout = _layout(path, columns)
        layouts.append(layout)
        if layout.others != layouts[0].others:
            raise UserError(
                f"Expected the same columns in all Parquet files below {root}, received {shown(layouts[0].others)} in "
                f"{files[0]} and {shown(layout.others)} in {file}. Extract one kind of them."
            )
        changed = stamp(os.stat(path))
        for rows in _rows(path, layout):
            first = len(samples.paths)
            samples.paths += [
                f"{file}/{member(layout.picture, row, name)}" for row, name in zip(*rows.names, strict=True)
            ]
            samples.labels += rows.labels
            samples.splits += rows.splits or [part] * (len(samples.paths) - first)
            samples.stats += [(UNKNOWN, changed)] * (len(samples.paths) - first)
            for name, texts in rows.others.items():
                samples.columns.setdefault(name, []).extend(texts)
    if not samples.paths:
        raise UserError(f"Expected pictures in the rows of {Path(root, files[0])}, received no row.")
    return samples.scan(root, table, [])


@dataclass(frozen=True)
class _Rows:
    names: tuple[range, list[str]]
    labels: list[str]
    splits: list[str]
    others: dict[str, list[str]]


def _rows(path: Path, layout: _Layout) -> Iterator[_Rows]:
    pyarrow = package(path)
    wanted = [layout.label, *layout.others]
    wanted += [layout.split] if layout.split else []
    wanted += [f"{layout.picture}.path"] if layout.named else []
    row = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH, columns=wanted):
                count = len(batch)
                names = [""] * count
                if layout.named:
                    names = [name or "" for name in batch.column(layout.picture).field("path").to_pylist()]
                labels = _labels(path, layout, batch.column(layout.label))
                splits = _splits(path, layout.split, batch.column(layout.split)) if layout.split else []
                others = {
                    name: [text(value) for value in batch.column(name).to_pylist()] for name in layout.others
                }
                yield _Rows((range(row, row + count), names), labels, splits, others)
                row += count
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"Expected a whole Parquet file in {path}, but: {error}. Get it again.") from error


def _labels(path: Path, layout: _Layout, column: Any) -> list[str]:
    values = column.to_pylist()
    if not layout.classes:
        return [text(value).strip() for value in values]
    try:
        return ["" if value is None or value < 0 else layout.classes[value] for value in values]
    except IndexError:
        most = max(value for value in values if value is not None)
        raise UserError(
            f"Expected class numbers below {len(layout.classes)} in the column {layout.label} of {path}, by the names "
            f"in its metadata, received {most}. Make the file again."
        ) from None


def _splits(path: Path, name: str, column: Any) -> list[str]:
    found = [text(value).strip().lower() for value in column.to_pylist()]
    if odd := sorted(set(found) - {"", *SPLIT_NAMES}):
        raise UserError(
            f"Expected one of {', '.join(SPLIT_NAMES)}, or nothing, in the column {name} of {path}, received "
            f"{odd[0]!r}. Correct it where the file is made."
        )
    return [SPLIT_NAMES.get(each, "") for each in found]


def _layout(path: Path, columns: Columns) -> _Layout:
    pyarrow, schema = package(path), _schema(path)
    features = _features(schema)
    pictures = _pictures(pyarrow, schema)
    marked = [name for name in pictures if features.get(name, {}).get("_type") == "Image"] or pictures
    wanted = [columns.path_column] if columns.path_column else marked
    if len(wanted) != 1 or wanted[0] not in pictures:
        raise UserError(
            f"Expected one column of picture bytes in {path}, received {shown(pictures or schema.names)}. Name it with "
            "--path-column."
        )
    simple = [field.name for field in schema if not pyarrow.types.is_nested(field.type)]
    simple = [name for name in simple if name not in pictures]
    classes = {name: each["names"] for name, each in features.items() if each.get("names") and name in simple}
    label = columns.label_column or next(
        (name for known in _LABELS for name in simple if name.strip().lower() == known), None
    )
    if label is None and len(classes) == 1:
        label = next(iter(classes))
    if label is None or label not in simple:
        raise UserError(
            f"Expected a column {columns.label_column or 'label'} with the classes in {path}, received "
            f"{shown(simple) or 'none'} beside the pictures. Name the right one with --label-column."
        )
    split = next((name for name in simple if name.strip().lower() == "split"), None)
    others = [name for name in simple if name not in (label, split) and not name.startswith("__index_level_")]
    kind = schema.field(wanted[0]).type
    named = pyarrow.types.is_struct(kind) and kind.get_field_index("path") >= 0
    return _Layout(wanted[0], named, label, classes.get(label, ()), split, others)


def _pictures(pyarrow: Any, schema: Any) -> list[str]:
    """The columns of bytes, or of structures that have some."""
    types = pyarrow.types

    def binary(kind: Any) -> bool:
        return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)

    found = []
    for field in schema:
        kind = field.type
        if types.is_struct(kind) and (at := kind.get_field_index("bytes")) >= 0:
            kind = kind.field(at).type
        if binary(kind):
            found.append(field.name)
    return found


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """What the package `datasets` says of the columns in the schema's metadata; empty where it says nothing."""
    try:
        said = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: each for name, each in said.items() if isinstance(each, dict)}
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}


def _schema(path: Path) -> Any:
    pyarrow = package(path)
    try:
        return pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"Expected a Parquet file in {path}, but: {error}") from error
