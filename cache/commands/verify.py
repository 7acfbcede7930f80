"""Check every shard of a store against the hash in its name."""

from pathlib import Path

from cache.storage.shard import DamagedShard, Shard, is_intact
from cache.storage.store import Store


def verify(store: Store) -> list[Path]:
    """Read all shards, and set aside those whose bytes have changed or that belong elsewhere.

    Parameters
    ----------
    store : Store

    Returns
    -------
    list of Path
        The damaged shards, where they lie now: in `damaged/`, never deleted. Empty when all is well.
    """
    damaged = []
    for path in store.paths():
        try:
            if is_intact(path):
                Shard(path, store.space.id)
            else:
                damaged.append(store.set_aside(path, "its bytes do not have the hash in its name"))
        except FileNotFoundError:  # merged into another since it was listed
            continue
        except DamagedShard as damage:
            damaged.append(store.set_aside(path, str(damage)))
    return damaged
