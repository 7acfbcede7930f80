"""Pictures in a column of a Parquet file: a few rows are read at once, and what neighbours will ask for is kept.

The address of a picture ends in `FILE.parquet/COLUMN/ROW`, behind which a name for people may follow.
"""

from __future__ import annotations

import bisect
import io
import re
import threading
from collections import OrderedDict
from collections.abc import Hashable
from itertools import accumulate
from typing import Any
from urllib.parse import quote, unquote

SUFFIXES = (".parquet", ".pq")
_MIB = 2**20
_BLOCK = 8 * _MIB  # bytes of pictures that are read at once, about
_ROWS = 256  # and so many rows at most: where pictures repeat, the file tells less bytes than they have
_KEPT = 128 * _MIB  # of all files, for whoever asks for the rows beside
_CURSORS = 4  # row groups of a file that are read at once
_MEMBER = re.compile(r"([^/]+)/(\d+)(?:-[^/]*)?")


def member(column: str, row: int, name: str = "") -> str:
    """Name the picture of a row; `name`, as the file calls it, is for people."""
    name = name.replace("\\", "/").rpartition("/")[2]
    return f"{quote(column, safe=' ')}/{row:07d}{f'-{name}' if name else ''}"


class _Blocks:
    """Rows that were read, of all files: the last ones used, up to `_KEPT` bytes and one block at least."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: OrderedDict[Hashable, Any] = OrderedDict()
        self.bytes = 0

    def get(self, key: Hashable) -> Any:
        """Return a block, or None."""
        with self._lock:
            if key not in self._blocks:
                return None
            self._blocks.move_to_end(key)
            return self._blocks[key]

    def keep(self, key: Hashable, block: Any) -> None:
        """Take a block, and let go of those that were not used for longest."""
        with self._lock:
            old = self._blocks.pop(key, None)
            self._blocks[key] = block
            self.bytes += block.nbytes - (old.nbytes if old is not None else 0)
            while self.bytes > _KEPT and len(self._blocks) > 1:
                self.bytes -= self._blocks.popitem(last=False)[1].nbytes


_BLOCKS = _Blocks()


class _Cursor:
    """Reads a column of one row group from its start on, some rows at a time."""

    def __init__(self, path: str, metadata: Any, group: int, leaf: str) -> None:
        import pyarrow.parquet

        rows = metadata.row_group(group)
        chunks = (rows.column(number) for number in range(rows.num_columns))
        size = next(each.total_uncompressed_size for each in chunks if each.path_in_schema == leaf)
        self.step = max(1, min(_ROWS, _BLOCK * rows.num_rows // max(1, size)))
        self.next = 0
        file = pyarrow.parquet.ParquetFile(path, metadata=metadata, buffer_size=_MIB, pre_buffer=False)
        self._batches = file.iter_batches(self.step, row_groups=[group], columns=[leaf], use_threads=False)

    def read(self) -> Any:
        """Return the next `step` rows, or what is left, as an array of binaries."""
        import pyarrow

        column = next(self._batches).column(0)
        self.next += len(column)
        return column.field(0) if pyarrow.types.is_struct(column.type) else column


class _Parquet:
    def __init__(self, path: str) -> None:
        import pyarrow.parquet

        file = pyarrow.parquet.ParquetFile(path)
        self._path, self._metadata = path, file.metadata
        self._leaf = {}  # column -> where its bytes lie
        for number in range(file.metadata.num_columns):
            leaf = file.metadata.schema.column(number)
            parts = leaf.path.split(".")
            if leaf.physical_type == "BYTE_ARRAY" and parts[1:] in ([], ["bytes"]):
                self._leaf[parts[0]] = leaf.path
        groups = range(file.metadata.num_row_groups)
        self._starts = [0, *accumulate(file.metadata.row_group(group).num_rows for group in groups)]
        self._lock = threading.Lock()
        self._cursors: OrderedDict[tuple[str, int], _Cursor] = OrderedDict()

    def size(self, member: str) -> int | None:
        return None if self._place(member) is None else 0

    def open(self, member: str) -> tuple[io.BytesIO, int]:
        place = self._place(member)
        if place is None:
            raise OSError(0, "no such row in the Parquet file")
        data = self._bytes_at(*place)
        if data is None:
            raise OSError(0, "the row has no bytes")
        return io.BytesIO(data), len(data)

    def _place(self, member: str) -> tuple[str, int, int] | None:
        """Leaf, row group, and row in it."""
        found = _MEMBER.fullmatch(member)
        leaf = self._leaf.get(unquote(found[1])) if found else None
        if found is None or leaf is None or int(found[2]) >= self._starts[-1]:
            return None
        group = bisect.bisect_right(self._starts, int(found[2])) - 1
        return leaf, group, int(found[2]) - self._starts[group]

    def _bytes_at(self, leaf: str, group: int, row: int) -> bytes | None:
        import pyarrow

        try:
            with self._lock:
                cursor = self._cursors.get((leaf, group)) or self._begin(leaf, group)
                first = row - row % cursor.step
                block = _BLOCKS.get((self, leaf, group, first))
                if block is None and cursor.next > first:  # it was there once
                    cursor = self._begin(leaf, group)
                while block is None:
                    at, rows = cursor.next, cursor.read()
                    _BLOCKS.keep((self, leaf, group, at), rows)
                    block = rows if at == first else None
            value: bytes | None = block[row - first].as_py()
            return value
        except (pyarrow.ArrowException, StopIteration) as error:
            raise OSError(0, f"damaged Parquet file: {error}") from error

    def _begin(self, leaf: str, group: int) -> _Cursor:
        cursor = self._cursors[leaf, group] = _Cursor(self._path, self._metadata, group, leaf)
        self._cursors.move_to_end((leaf, group))
        while len(self._cursors) > _CURSORS:
            self._cursors.popitem(last=False)
        return cursor


def open_parquet(path: str) -> _Parquet:
    """Read what a Parquet file says of its rows; OSError where it cannot be read."""
    try:
        import pyarrow
    except ImportError as error:
        raise OSError(0, "the package pyarrow is missing: pip install 'coldframe[parquet]'") from error
    try:
        return _Parquet(path)
    except pyarrow.ArrowException as error:
        raise OSError(0, f"damaged Parquet file: {error}") from error
