"""A column of texts, as one array of bytes: a hundred bytes a text less than a list of them, and copied at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from cache.storage.columns.matching import find

_TEXTS = 65_536  # made of Python's texts, or into them, at a time
_BYTES = 2**18  # copied at a time


class Texts(Sequence[str]):
    """n texts. Those that are file names may be no UTF-8: such bytes are surrogates in Python (os.fsdecode).

    Parameters
    ----------
    blob : (m,) uint8
        Their UTF-8, one after the other.
    offset : (n + 1,) int64
        Where each begins, from 0, and last m.
    """

    __slots__ = ("blob", "offset")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, blob: NDArray[np.uint8], offset: NDArray[np.int64]) -> None:
        self.blob, self.offset = blob, offset

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Take any texts; such a column is returned as it is."""
        if isinstance(texts, Texts):
            return texts
        rest, parts, lengths = iter(texts), [b""], [np.zeros(1, np.int64)]
        while some := [text.encode("utf-8", "surrogateescape") for text in islice(rest, _TEXTS)]:
            parts.append(b"".join(some))
            lengths.append(np.fromiter(map(len, some), np.int64, len(some)))
        return cls(np.frombuffer(b"".join(parts), np.uint8), np.cumsum(np.concatenate(lengths)))

    def __len__(self) -> int:
        return len(self.offset) - 1

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Texts: ...
    def __getitem__(self, row: int | slice) -> str | Texts:
        if isinstance(row, slice):
            start, stop, step = row.indices(len(self))
            if step != 1:
                return self.take(np.arange(start, stop, step))
            offset = self.offset[start : max(start, stop) + 1]
            return Texts(self.blob[offset[0] : offset[-1]], offset - offset[0])
        row = range(len(self))[row]
        return _text(self.blob[self.offset[row] : self.offset[row + 1]].tobytes())

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _TEXTS):
            part = self[first : first + _TEXTS]
            data = part.blob.tobytes()
            yield from (_text(data[start:stop]) for start, stop in pairwise(part.offset.tolist()))

    def __eq__(self, other: object) -> bool:
        """Tell whether another sequence has the same texts in the same order."""
        if isinstance(other, Texts):
            return np.array_equal(self.offset, other.offset) and np.array_equal(self.blob, other.blob)
        if isinstance(other, Sequence) and not isinstance(other, str | bytes):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"<{len(self):,} texts: {shown}{', ...' if len(self) > 3 else ''}>"

    def take(self, rows: NDArray[Any]) -> Texts:
        """Return the texts at (k,) int rows from 0 on, in any order."""
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return self[int(rows[0]) : int(rows[-1]) + 1]
        offset = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(np.diff(self.offset)[rows], out=offset[1:])
        blob, start = np.empty(offset[-1], np.uint8), 0
        while start < len(rows):
            stop = max(start + 1, int(np.searchsorted(offset, offset[start] + _BYTES, "right")) - 1)
            first, last = offset[start], offset[stop]
            shift = self.offset[rows[start:stop]] - offset[start:stop]
            at = np.arange(first, last) + np.repeat(shift, np.diff(offset[start : stop + 1]))
            blob[first:last] = self.blob[at]
            start = stop
        return Texts(blob, offset)

    def find(self, asked: Texts) -> NDArray[np.intp]:
        """Find where each of k texts is in this column: (k,) rows, -1 for a text that is not; of repeats one."""
        if self == asked:
            return np.arange(len(self))
        row = find((self.blob, self.offset), (asked.blob, asked.offset))
        if row is not None:
            there = np.flatnonzero(row >= 0)
            if self.take(row[there]) == asked.take(there):
                return row
        places = dict(zip(self, range(len(self)), strict=True))  # repeats, or texts that hash alike
        return np.fromiter((places.get(text, -1) for text in asked), np.intp, len(asked))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
