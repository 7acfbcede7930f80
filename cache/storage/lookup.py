"""Find rows by key among shards, and copy them out."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.storage.keys import as_items, match, unique
from cache.storage.shard import Shard

_BLOCK = 4_096  # rows copied at a time out of a memory map


def locate(
    keys: NDArray[np.uint8], shards: Iterable[Shard]
) -> tuple[list[Shard], NDArray[np.int32], NDArray[np.int32]]:
    """Find where each key's row lies; the first shard that has it counts.

    Sorted keys are merged with one shard after the other: no table of all keys is built, and no shard is
    opened after the last key is found.

    Parameters
    ----------
    keys : (n, 32) uint8
    shards : iterable of Shard
        One that is gone by now is passed over.

    Returns
    -------
    used : list of Shard
    which : (n,) int32, index into `used`, -1 for a key without a row
    row : (n,) int32, row within that shard
    """
    asked, _, inverse = unique(as_items(keys))
    used: list[Shard] = []
    which = np.full(len(asked), -1, np.int32)
    row = np.zeros(len(asked), np.int32)
    left = len(asked)
    for shard in shards if left else ():
        try:
            i, j = match(asked, shard.keys)
        except FileNotFoundError:  # merged into another, which comes later
            continue
        new = which[i] < 0
        which[i[new]] = len(used)
        row[i[new]] = j[new]
        used.append(shard)
        left -= int(np.count_nonzero(new))
        if left == 0:
            break
    return used, which[inverse], row[inverse]


def read(shards: list[Shard], which: NDArray[np.int32], row: NDArray[np.int32]) -> NDArray[np.float32]:
    """Copy located rows out of the memory maps, shard by shard and in file order.

    Parameters
    ----------
    shards : list of Shard
    which : (n,) int32, index into `shards`, n >= 1
    row : (n,) int32, row within that shard

    Returns
    -------
    (n, ...) float32, in the order asked

    Raises
    ------
    FileNotFoundError
        When a shard was merged into another meanwhile.
    UserError
        When the rows do not have one shape.
    """
    order = np.argsort(which.astype(np.int64) << 32 | row)
    runs = np.split(order, np.flatnonzero(np.diff(which[order])) + 1)
    shapes = {shards[which[run[0]]].shape for run in runs}
    if len(shapes) > 1:
        raise UserError(
            f"Expected rows of one shape in {shards[0].path.parent}, received {sorted(shapes)}: two programs "
            "disagreed on what this space is. Move the folder away and run extract again."
        )
    out = np.empty((len(which), *shapes.pop()), np.float32)
    for run in runs:
        rows = shards[which[run[0]]].rows
        for start in range(0, len(run), _BLOCK):
            take = run[start : start + _BLOCK]
            out[take] = rows[row[take]]
    return out
