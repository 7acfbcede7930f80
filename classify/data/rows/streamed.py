"""Rows that stay in their shards, and are read block by block in the order of the files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from cache.storage.lookup import check_finite
from cache.storage.rows import Rows


class Columns(Protocol):
    """Some columns of rows, or what is made of each row; `classify.data.labelled.Columns` is one."""

    @property
    def width(self) -> int:
        """How many."""

    def of(self, X: Any) -> Any:
        """(..., D) to (..., d)."""


class Streamed:
    """n rows of D numbers as an array would give them, of which only those asked for are in memory.

    Parameters
    ----------
    data : Embedded
        Its spaces side by side are the rows.
    stores : sequence of Rows
        Of all samples of `data`, one a space.
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
        stores: Sequence[Rows],
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
        stores = [Rows(store, data.manifest.key) for store in data.stores]
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
        parts = []
        for store, rows_of in zip(self._data.stores, self._stores, strict=True):
            part = rows_of.take(at)
            if not np.isfinite(part.sum()):
                manifest = self._data.manifest
                check_finite(part, manifest.key[at], [manifest.paths[row] for row in at], store.space)
            parts.append(part)
        X = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        for columns in self._columns:
            X = columns.of(X)
        return X

    def identity(self) -> NDArray[np.uint8]:
        """Bytes that others have only of the same rows."""
        columns = np.frombuffer(repr(self._columns).encode(), np.uint8)
        at = self._at.astype(np.int64).view(np.uint8)
        return np.concatenate([*(rows.identity() for rows in self._stores), at, columns])

    def in_file_order(self) -> NDArray[np.intp]:
        """(n,) numbers of the rows as they lie in the files of the first space."""
        return self._stores[0].in_file_order(self._at)
