"""Sorting and matching of image keys (SHA-256, 32 bytes) as fixed-size byte strings."""

import numpy as np
from numpy.typing import NDArray

KEY_BYTES = 32


def as_items(keys: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """View (n, 32) uint8 keys as (n,) 'S32', which numpy orders bytewise, as unsigned bytes.

    Numpy ignores trailing zero bytes of an 'S32' when it compares; at one fixed width that changes neither
    the order nor equality.
    """
    if keys.ndim != 2 or keys.shape[1] != KEY_BYTES or keys.dtype != np.uint8:
        raise ValueError(f"Expected keys (n, {KEY_BYTES}) uint8, received {keys.shape} {keys.dtype}")
    return np.ascontiguousarray(keys).view(f"S{KEY_BYTES}").reshape(len(keys))


def unique(
    items: NDArray[np.bytes_],
) -> tuple[NDArray[np.bytes_], NDArray[np.intp], NDArray[np.intp]]:
    """Sort keys and drop repeats.

    Parameters
    ----------
    items : (n,) 'S32'

    Returns
    -------
    distinct : (u,) 'S32', ascending
    first : (u,) intp, where each distinct key occurs first in `items`
    inverse : (n,) intp, the place in `distinct` of each of the `items`
    """
    # Keys are hashes: their first 8 bytes nearly always decide, and integers sort several times faster.
    prefix = items.view(np.uint8).reshape(-1, KEY_BYTES)[:, :8].copy().view(">u8").ravel()
    order = np.argsort(prefix.astype(np.uint64), kind="stable")
    ordered = items[order]
    if not np.all(ordered[1:] >= ordered[:-1]):
        order = np.argsort(items, kind="stable")
        ordered = items[order]
    new = np.ones(len(items), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    inverse = np.empty(len(items), np.intp)
    inverse[order] = np.cumsum(new) - 1
    return ordered[new], order[new], inverse


def match(asked: NDArray[np.bytes_], held: NDArray[np.bytes_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find the keys that two lists share: asked[i] == held[j]. Both (n,) 'S32', ascending, no repeats.

    The shorter list is looked up in the longer: O(short * log(long)), which keeps a few pictures against
    many shards, and many pictures against one small shard, both cheap.
    """
    if len(asked) > len(held):
        j, i = match(held, asked)
        return i, j
    if len(held) == 0:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    at = np.minimum(np.searchsorted(held, asked), len(held) - 1)
    i = np.flatnonzero(held[at] == asked)
    return i, at[i]
