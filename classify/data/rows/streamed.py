"""Rows that stay in their shards, and are read block by block in the order of the files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from cache.storage.columns.halves import widened
from cache.storage.lookup import check_finite
from cache.storage.rows import Rows


class Columns(Protocol):
    """Some columns of rows, or what is made of each row; `classify.data.labelled.Columns` is one."""

    @property
    def width(self) -> int:
        """How many."""

    def of(self, X: Any) -> Any:
        """(..., D) to (..., d)."""


class Store(Protocol):
    """Rows of one space in its shards, or of all in memory; positions are (k,) int."""

    def take(self, at: NDArray[np.integer]) -> NDArray[np.float32]:
        """(k, D) at these positions."""

    def in_file_order(self, at: NDArray[np.integer]) -> NDArray[np.intp]:
        """Order (k,) of these positions in which they are soonest read."""

    def identity(self) -> NDArray[np.uint8]:
        """Bytes that others have only of the same rows."""


class Sharded(Rows):
    """Rows of the samples of a data set in one of its spaces, which are finite."""

    def __init__(self, data: Embedded, number: int) -> None:
        super().__init__(data.stores[number], data.manifest.key)
        self._manifest, self._space = data.manifest, data.spaces[number]

    def take(self, at: NDArray[np.integer]) -> NDArray[np.float32]:
        """(k, D) at these positions; UserError for a row that is lost, or not finite."""
        rows = super().take(at)
        if not np.isfinite(rows.sum()):
            paths = [self._manifest.paths[each] for each in at]
            check_finite(rows, self._manifest.key[at], paths, self._space)
        return rows


class Held:
    """Rows in memory, in the dtype they are stored in, as (n, D) `rows`; `origin` is where they are from."""

    def __init__(self, rows: NDArray[Any], origin: Streamed) -> None:
        self._rows, self._origin = rows, origin

    def take(self, at: NDArray[np.integer]) -> NDArray[np.float32]:
        """(k, D) at these positions."""
        in_a_row = (np.diff(at) == 1).all()
        return widened(self._rows[slice(at[0], at[-1] + 1) if in_a_row else at])

    def in_file_order(self, at: NDArray[np.integer]) -> NDArray[np.intp]:
        """As they are asked for."""
        return np.arange(len(at))

    def identity(self) -> NDArray[np.uint8]:
        """That of where they are from."""
        return self._origin.identity()


class Streamed:
    """n rows of D numbers as an array would give them, of which only those asked for are in memory.

    Parameters
    ----------
    data : Embedded
        Its spaces side by side are the rows.
    stores : sequence of Store
        Of all samples of `data`, one a space; or one that holds the rows of all spaces.
    at : (n,) int
        Which of the samples.
    columns : sequence of Columns
        Which of their numbers, and of those again; none: all.
    spare : float
        Bytes of memory that there are for rows that are asked for often.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        data: Embedded,
        stores: Sequence[Store],
        at: NDArray[np.integer],
        columns: tuple[Columns, ...] = (),
        spare: float = 0.0,
    ) -> None:
        self._data, self._stores, self._at, self._columns = data, stores, at, columns
        self.spare = spare

    @classmethod
    def of(cls, data: Embedded, spare: float = 0.0) -> Streamed:
        """All rows of a data set.

        Raises
        ------
        UserError
            When some have none any more.
        """
        stores = [Sharded(data, number) for number in range(len(data.stores))]
        return cls(data, stores, np.arange(len(data.manifest)), spare=spare)

    @property
    def shape(self) -> tuple[int, int]:
        """n and D."""
        return len(self._at), self._columns[-1].width if self._columns else self._data.blocks[-1].stop

    def __len__(self) -> int:
        return len(self._at)

    def select(self, rows: NDArray[Any]) -> Streamed:
        """Some of the rows, (n,) bool or (k,) int: none is read."""
        return Streamed(self._data, self._stores, self._at[rows], self._columns, self.spare)

    def only(self, columns: Columns) -> Streamed:
        """Some of the columns: none is read."""
        return Streamed(self._data, self._stores, self._at, (*self._columns, columns), self.spare)

    def __getitem__(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Read rows, (n,) bool or (k,) int: (k, D) float32.

        Raises
        ------
        UserError
            For a row that is lost, or not finite.
        """
        at = self._at[rows]
        if not len(at):
            return np.empty((0, self.shape[1]), np.float32)
        parts = [store.take(at) for store in self._stores]
        X = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        for columns in self._columns:
            X = columns.of(X)
        return X

    @property
    def stored(self) -> np.dtype[Any]:
        """The dtype that holds what is stored, in every space."""
        return np.result_type(*(space.dtype for space in self._data.spaces))

    @property
    def stored_bytes(self) -> int:
        """How much memory all columns of the rows take so."""
        return len(self) * self._data.blocks[-1].stop * self.stored.itemsize

    def with_all_columns(self) -> Streamed:
        """The same rows, nothing left out and nothing made of them: none is read."""
        return Streamed(self._data, self._stores, self._at)

    def held(self, rows: NDArray[Any]) -> Streamed:
        """The same, in memory: `rows` are those of `with_all_columns`, in the dtype `stored`."""
        stores, left = [Held(rows, self.with_all_columns())], self.spare - rows.nbytes
        return Streamed(self._data, stores, np.arange(len(self)), self._columns, left)

    def identity(self) -> NDArray[np.uint8]:
        """Bytes that others have only of the same rows."""
        columns = np.frombuffer(repr(self._columns).encode(), np.uint8)
        at = self._at.astype(np.int64).view(np.uint8)
        return np.concatenate([*(rows.identity() for rows in self._stores), at, columns])

    def in_file_order(self) -> NDArray[np.intp]:
        """(n,) numbers of the rows as they lie in the files of the first space."""
        return self._stores[0].in_file_order(self._at)
