"""Check every shard of a store: its hash, the order of its keys, and that its rows are numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.commands.options import VerifyOptions
from cache.storage.shard import DamagedShard
from cache.storage.store import Store
from cache.workspace import Workspace


def verify(store: Store) -> list[Path]:
    """Read all shards, and set aside those whose bytes have changed, that belong elsewhere, or that nobody can use.

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
            shard = store.open_shard(path)
            if fault := shard.fault():
                damaged.append(store.set_aside(path, fault))
            else:
                store.intact.add(path.name, shard.identity)
        except FileNotFoundError:  # merged into another since it was listed
            continue
        except DamagedShard as damage:
            damaged.append(store.set_aside(path, str(damage)))
    return damaged


@dataclass(frozen=True)
class Verified:
    """What was read, what of it is damaged, and how pictures that were embedded again compare."""

    spaces: int
    rows: int
    damaged: list[str]
    again: Any = None  # an `extract.commands.recompute.Recomputed`, which this package does not know

    @property
    def failure(self) -> str | None:
        """Not None if something is wrong; the text has said what."""
        return "" if self.damaged or (self.again and self.again.differing) else None

    def to_json(self) -> dict[str, Any]:
        """The counts for scripts."""
        found = {"spaces": self.spaces, "rows": self.rows, "damaged": self.damaged}
        return found | (self.again.to_json() if self.again else {})

    def to_text(self) -> str:
        """The same for people."""
        text = f"{self.spaces} spaces, {self.rows:,} rows: {len(self.damaged)} damaged shards"
        return f"{text}\n{self.again.to_text()}" if self.again else text


def run(
    options: VerifyOptions, say: Callable[[str], None], recompute: Callable[..., Any] | None = None
) -> Verified:
    """Answer the command line; `recompute` embeds pictures again, as `extract.commands.recompute.recompute` does."""
    workspace = Workspace.locate(options.workspace)
    stores = [workspace.store_by_id(options.space)] if options.space else workspace.spaces()
    checked = stores if options.space else workspace.stores()
    damaged = [str(path) for store in checked for path in verify(store)]
    rows, again = sum(len(store) for store in stores), None
    if recompute is not None:
        again = recompute(workspace, options.recompute, options.dataset, options.space, options.seed)
    return Verified(len(stores), rows, damaged, again)
