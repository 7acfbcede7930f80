"""Parquet files as tables of texts; needs pyarrow, which is loaded when a file is read or written.

Read by pyarrow itself: pandas would hold the whole file, and lose what the columns are (whole numbers with one missing
become fractions, texts and lists alike objects).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cache.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".parquet", ".pq")
_BATCH = 65_536  # rows


def read_rows(path: Path) -> Iterator[tuple[list[str], int]]:
    """Yield the names of the columns, numbered 0, and then the values and the number of each row, from 1.

    Texts, whole numbers and the like become text, an empty one for a missing value. Columns of lists, structures and
    other things that no text stands for get an empty name.

    Raises
    ------
    UserError
        If pyarrow is missing, the file is none of Parquet, or `path` or `label` is of another type.
    """
    pyarrow = package(path)
    try:
        file = pyarrow.parquet.ParquetFile(path)
        schema = file.schema_arrow
        names = [_name(pyarrow, path, field) for field in schema]
        yield names, 0
        number = 0
        for batch in file.iter_batches(_BATCH):
            columns = [
                _texts(path, name, column) if name else [""] * len(batch)
                for name, column in zip(names, batch.columns, strict=True)
            ]
            for values in zip(*columns, strict=True):
                number += 1
                yield list(values), number
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"Expected a Parquet file in {path}, but: {error}") from error


def to_parquet(path: Path, table: pd.DataFrame) -> bytes:
    """Make the content of a Parquet file of a frame of texts; `path` is for messages."""
    pyarrow = package(path)
    schema = pyarrow.schema([(name, pyarrow.string()) for name in table])
    try:
        content: bytes = table.to_parquet(engine="pyarrow", index=False, schema=schema)
        return content
    except UnicodeEncodeError as error:
        raise UserError(
            f"Expected names in UTF-8 for {path}, received {error.object!r}. Write a .csv file, which can hold them."
        ) from error


def package(path: Path) -> ModuleType:
    """Import pyarrow; `path` is for the message where it is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            f"Expected the package pyarrow for {path}, but: {error}. Run `pip install 'coldframe[parquet]'`, or use a "
            ".csv file."
        ) from error
    return pyarrow


def _name(pyarrow: ModuleType, path: Path, field: Any) -> str:
    """A column's name, empty for one that is left out; UserError for a needed one of an unusable type."""
    types, kind = pyarrow.types, field.type
    if types.is_dictionary(kind):
        kind = kind.value_type
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    nested = types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind)
    name = field.name.strip()
    number = types.is_integer(kind) or types.is_boolean(kind) or types.is_null(kind)
    # pandas makes fractions of whole numbers where one is missing.
    able = {
        "path": text,
        "split": text or types.is_null(kind),
        "label": text or number or types.is_floating(kind),
    }
    if not able.get(name.lower(), True):
        wanted = "text or whole numbers" if name.lower() == "label" else "text"
        raise UserError(f"Expected {wanted} in the column {name} of {path}, received {field.type}.")
    return "" if nested or name.startswith("__index_level_") else name


def _texts(path: Path, name: str, column: Any) -> list[str]:
    try:
        return [text(value) for value in column.to_pylist()]
    except (ValueError, OverflowError) as error:  # text that is not UTF-8, a time beyond Python's
        raise UserError(
            f"Expected values that can be written as text in the column {name} of {path}, but: {error}. Convert or "
            "drop it where the file is made."
        ) from error


def text(value: Any) -> str:
    """A value as text: whole numbers without a fraction, empty for none."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value != value else str(value)
