"""Whether rows are held in memory or streamed from their shards: here alone it is decided."""

from __future__ import annotations

import numpy as np

from cache.dataset import Embedded
from cache.errors import UserError
from classify.data.rows.blocks import Rows
from classify.data.rows.streamed import Streamed
from extract.machine import memory

GB = 1e9
COPIES = 6  # of the rows in float32 that a search at most holds at once where they are in memory
LEAST = 40  # rows, whatever the limit
OTHERS = 0.4e9  # bytes of a process that has loaded scikit-learn


def budget(gb: float | None) -> float:
    """Bytes that may be used: what was asked for, or a third of what this machine or container has."""
    if gb is not None and not gb > 0:
        raise UserError(f"Expected --max-memory-gb above 0, received {gb:g}.")
    return memory() / 3 if gb is None else gb * GB


def room(width: int, limit: float) -> int:
    """How many rows of `width` numbers fit into `limit` bytes with what a search makes of them; a few always do."""
    return max(LEAST, int(min((limit - OTHERS) / (COPIES * 4 * width), 1e12)))


def rows_of(data: Embedded, limit: float = np.inf) -> Rows:
    """The rows of a data set: an array (n, D) float32 where that and what a search makes of it are below `limit` bytes.

    Otherwise they are streamed from the shards.
    """
    fit = len(data.manifest) <= room(data.blocks[-1].stop, limit)
    return data.embedding if fit else Streamed.of(data)
