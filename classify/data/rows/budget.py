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
MANY = 30_000  # rows: from here on sums over blocks are found sooner than what memory holds is searched
OTHERS = 0.4e9  # bytes of a process that has loaded scikit-learn
SPARE = 0.6  # of what is left, for rows that are gone through often


def budget(gb: float | None) -> float:
    """Bytes that may be used: what was asked for, or a third of what this machine or container has."""
    if gb is not None and not gb > 0:
        raise UserError(f"Expected --max-memory-gb above 0, received {gb:g}.")
    return memory() / 3 if gb is None else gb * GB


def room(width: int, limit: float) -> int:
    """How many rows of `width` numbers fit into `limit` bytes with what a search makes of them; a few always do."""
    return max(LEAST, int(min((limit - OTHERS) / (COPIES * 4 * width), 1e12)))


def fits(data: Embedded, limit: float) -> bool:
    """Whether the rows of a data set as float32, and what a search makes of them, need less than `limit` bytes."""
    return len(data.manifest) <= room(data.blocks[-1].stop, limit)


def rows_of(data: Embedded, limit: float = np.inf, in_blocks: bool = False) -> Rows:
    """The rows of a data set: an array (n, D) float32, or streamed from the shards where they are too many to fit.

    Of MANY rows they are streamed, too, where all that is asked of them can be done `in_blocks`.
    """
    held = fits(data, limit) and not (in_blocks and len(data.manifest) >= MANY)
    return data.embedding if held else Streamed.of(data, SPARE * (limit - OTHERS))
