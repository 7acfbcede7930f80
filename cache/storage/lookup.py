"""Find rows by key among shards, and read them."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.space import Space
from cache.storage.columns.halves import widened
from cache.storage.keys import as_items, match, unique
from cache.storage.shard import Shard
from cache.text import on_one_line

_BLOCK_BYTES = 32 * 2**20  # read at a time, so that putting rows in order needs no second copy of all


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
        Their keys are in memory.

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
        i, j = match(asked, shard.keys)
        new = which[i] < 0
        which[i[new]] = len(used)
        row[i[new]] = j[new]
        used.append(shard)
        left -= int(np.count_nonzero(new))
        if left == 0:
            break
    return used, which[inverse], row[inverse]


def read(shards: list[Shard], which: NDArray[np.int32], row: NDArray[np.int32]) -> NDArray[np.float32]:
    """Read located rows, shard by shard and in file order.

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
    DamagedShard
        When a shard was cut short meanwhile.
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
        shard = shards[which[run[0]]]
        block = max(1, _BLOCK_BYTES // shard.row_bytes)
        for start in range(0, len(run), block):
            part = run[start : start + block]
            if (np.diff(part) == 1).all():
                shard.take(row[part], out[part[0] : part[-1] + 1])
            else:
                out[part] = widened(shard.take(row[part]))
    return out


def check_finite(
    rows: NDArray[np.float32], keys: NDArray[np.uint8], paths: Sequence[str], space: Space
) -> None:
    """Refuse (n, ...) rows with NaN or infinity, of pictures with n keys, and n paths or none."""
    bad = np.flatnonzero(~np.isfinite(rows).reshape(len(rows), -1).all(axis=1))
    if len(bad):
        first = bad[0]
        name = on_one_line(paths[first]) if paths else f"SHA-256 {keys[first].tobytes().hex()}"
        more = f" and {len(bad) - 1:,} more" if len(bad) > 1 else ""
        raise UserError(
            f"Expected finite embeddings, received NaN or infinity for {name}{more} of {len(rows):,} pictures in "
            f"space {space.id[:12]} ({space.backbone}). Run `python cli.py cache verify`, which sets such rows "
            "aside, then `extract` again: it computes them anew."
        )
