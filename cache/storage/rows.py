"""Rows of a store that are read again and again in random order, found once."""

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.storage.lookup import locate, read
from cache.storage.shard import DamagedShard
from cache.storage.store import Store


class Rows:
    """The rows of n keys, located once.

    Parameters
    ----------
    store : Store
    keys : (n, 32) uint8

    Raises
    ------
    UserError
        When some keys have no row.
    """

    def __init__(self, store: Store, keys: NDArray[np.uint8]) -> None:
        self._store, self._keys = store, keys
        self._locate()

    def _locate(self) -> None:
        self._shards, self._which, self._row = locate(self._keys, self._store.verified())
        missing = int(np.count_nonzero(self._which < 0))
        if missing:
            raise UserError(
                f"Expected a row for each of {len(self._keys):,} pictures in space {self._store.space.id[:12]}, "
                f"{missing:,} have none: part of the cache was lost meanwhile. Run the same command again."
            )

    def take(self, indices: NDArray[np.integer]) -> NDArray[np.float32]:
        """Read the rows at (k,) positions among the keys, k >= 1: (k, ...) float32, in the order asked."""
        try:
            return read(self._shards, self._which[indices], self._row[indices])
        except (FileNotFoundError, DamagedShard) as change:
            self._store.notice(change)
            self._locate()
            return read(self._shards, self._which[indices], self._row[indices])

    def identity(self) -> NDArray[np.uint8]:
        """Where the rows lie, as bytes: what else has them has the same rows, as a file's name holds its hash."""
        names = "\n".join(shard.path.name for shard in self._shards).encode()
        return np.concatenate(
            [np.frombuffer(names, np.uint8), self._which.view(np.uint8), self._row.view(np.uint8)]
        )

    def in_file_order(self, indices: NDArray[np.integer]) -> NDArray[np.intp]:
        """Order (k,) positions among the keys as their rows lie in the files: to read each file once."""
        return np.argsort(self._which[indices].astype(np.int64) << 32 | self._row[indices])
