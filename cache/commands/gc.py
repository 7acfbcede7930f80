"""Merge small shards into bigger ones, and clear what killed processes left."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.commands.options import GcOptions
from cache.storage.files import TEMPORARY
from cache.storage.keys import KEY_BYTES, unique
from cache.storage.shard import SHARD_ROWS, DamagedShard, Shard, seal
from cache.storage.store import Store
from cache.workspace import Workspace

SHARD_BYTES = 512 * 2**20  # activations are large: a merge must fit in memory whatever a row weighs
_STALE_SECONDS = 86_400  # no seal takes a day, so an older temporary file has no owner


@dataclass(frozen=True)
class Collected:
    """What `collect` did."""

    merged: int  # shards that went into others and were removed
    sealed: int  # shards that took their place
    temporary: int  # leftover temporary files removed
    damaged: tuple[Path, ...]  # shards found damaged, where they lie now

    @property
    def failure(self) -> str | None:
        """Not None if a shard is damaged; the text has said so."""
        return "" if self.damaged else None

    def to_json(self) -> dict[str, Any]:
        """The counts for scripts."""
        counts = {"merged": self.merged, "sealed": self.sealed, "temporary": self.temporary}
        return counts | {"damaged": [str(path) for path in self.damaged]}

    def to_text(self) -> str:
        """The same for people."""
        return (
            f"{self.merged} shards merged into {self.sealed}, {self.temporary} leftover temporary files removed, "
            f"{len(self.damaged)} damaged shards set aside"
        )


def collect(store: Store, *, max_rows: int = SHARD_ROWS) -> Collected:
    """Merge neighbouring shards as far as they fit into one.

    Only neighbours in age are merged, and the result keeps the age of the newest: so of a repeated key the
    same row counts before and after. A merged shard is sealed before its sources are removed; a crash, or
    another `collect` at the same time, can only leave rows twice, which the next run tidies. Sources are
    checked against their hash first: a merge gives rows a new hash, and must not give one to damage.

    Parameters
    ----------
    store : Store
    max_rows : int
        Most rows in a merged shard. Peak memory is about three times such a shard.
    """
    merged = sealed = 0
    damaged: list[Path] = []
    for group in _groups(store.shards(), max_rows):
        try:
            faults = {shard: fault for shard in group if (fault := shard.fault())}
            intact = [shard for shard in group if shard not in faults]
            if len(intact) > 1:
                _merge(store, intact)
        except (FileNotFoundError, DamagedShard) as change:  # another process merged them, or cut one short
            store.notice(change)
            continue
        damaged += [store.set_aside(shard.path, fault) for shard, fault in faults.items()]
        if len(intact) > 1:
            for shard in intact:
                store.remove(shard)
            merged += len(intact)
            sealed += 1
    return Collected(merged, sealed, _remove_stale(store.folder), tuple(damaged))


def _groups(shards: list[Shard], max_rows: int) -> Iterator[list[Shard]]:
    """Yield runs of two or more neighbours whose distinct keys fit into one shard."""
    group: list[Shard] = []
    keys = np.empty(0, f"S{KEY_BYTES}")
    waiting: list[Shard] = []  # in the group, their keys not yet in `keys`
    total = 0
    for shard in shards:
        same = group and (shard.shape, shard.dtype) == (group[0].shape, group[0].dtype)
        limit = min(max_rows, max(1, SHARD_BYTES // shard.row_bytes))
        if same and total + len(shard) > limit:  # count repeated keys once before giving up
            with contextlib.suppress(
                FileNotFoundError, DamagedShard
            ):  # gone or cut short: then this group ends
                keys = unique(np.concatenate([keys, *(s.keys for s in waiting), shard.keys]))[0]
                waiting, total = [], len(keys) - len(shard)
        if not same or total + len(shard) > limit:
            if len(group) > 1:
                yield group
            group, keys, waiting, total = [], keys[:0], [], 0
        group.append(shard)
        waiting.append(shard)
        total += len(shard)
    if len(group) > 1:
        yield group


def _merge(store: Store, shards: list[Shard]) -> Path:
    """Seal the rows of these shards as one; of a repeated key the newest row."""
    items, first, _ = unique(np.concatenate([shard.keys for shard in shards]))
    rows = np.empty((len(items), *shards[0].shape), shards[0].dtype)
    ends = np.cumsum([len(shard) for shard in shards])
    order = np.argsort(first)  # by source shard, and by row within it
    for shard, end, mine in zip(
        shards, ends, np.split(order, np.searchsorted(first[order], ends[:-1])), strict=True
    ):
        rows[mine] = shard.take(first[mine] - (end - len(shard)))
    keys = items.view(np.uint8).reshape(-1, KEY_BYTES)
    return seal(store.shard_folder, store.space.id, keys, rows, stamp=shards[0].stamp)


def _remove_stale(folder: Path) -> int:
    """Remove temporary files older than a day anywhere in the store; returns how many."""
    removed = 0
    for path in folder.rglob(f"{TEMPORARY}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()
                removed += 1
    return removed


def run(options: GcOptions, say: Callable[[str], None]) -> Collected:
    """Answer the command line, for all stores together."""
    done = [collect(store) for store in Workspace.locate(options.workspace).stores()]
    return Collected(
        sum(each.merged for each in done),
        sum(each.sealed for each in done),
        sum(each.temporary for each in done),
        tuple(path for each in done for path in each.damaged),
    )
