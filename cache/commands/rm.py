"""`cache rm`: delete spaces, a data set or cached activations, unless something needs them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.commands.options import RemoveOptions
from cache.errors import UserError
from cache.manifest import Manifest
from cache.space import LAYER
from cache.storage.files import forget, locked, sync_folder, temporary_name, write_error
from cache.storage.json_file import DamagedJson, check, read_json
from cache.storage.keys import KEY_BYTES, as_items, match, unique
from cache.storage.shard import DamagedShard, seal
from cache.storage.store import Store
from cache.text import counted, sized
from cache.workspace import Workspace


@dataclass(frozen=True)
class Freed:
    """One thing that was deleted."""

    kind: str  # "space" or "data set"
    name: str
    about: str
    rows: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """The same as plain Python values."""
        megabytes = round(self.bytes / 1e6, 1)
        return {"kind": self.kind, "name": self.name, "rows": self.rows, "megabytes": megabytes}

    def __str__(self) -> str:
        rows = counted(self.rows, "row")
        return f"removed {self.kind} {self.name} ({self.about}): {rows}, {sized(self.bytes)} freed"


@dataclass(frozen=True)
class Removed:
    """What was deleted, and what that means for others."""

    freed: Sequence[Freed]
    notes: Sequence[str] = ()

    @property
    def bytes(self) -> int:
        """What was freed."""
        return sum(each.bytes for each in self.freed)

    def to_json(self) -> dict[str, Any]:
        """The result as the command line's JSON; sizes in megabytes of 10^6 bytes."""
        removed = [each.to_json() for each in self.freed]
        return {"removed": removed, "megabytes": round(self.bytes / 1e6, 1), "notes": list(self.notes)}

    def to_text(self) -> str:
        """A line for each thing, and the sum of several."""
        if not self.freed:
            return "nothing to remove: no space holds activations"
        total = [f"together: {sized(self.bytes)} freed"] if len(self.freed) > 1 else []
        return "\n".join([*map(str, self.freed), *total])


def remove(
    workspace: Workspace,
    spaces: Sequence[str] = (),
    dataset: str | None = None,
    *,
    activations: bool = False,
    force: bool = False,
) -> Removed:
    """Delete spaces and a data set; splits, the log of readings, thumbnails that others share, and runs stay.

    Under its name a space is whole or gone, and so is a shard. The list of a data set goes last: after a kill the same
    call goes on. Processes that extract meanwhile make anew what they need.

    Parameters
    ----------
    workspace : Workspace
    spaces : sequence of str
        Starts of their ids.
    dataset : str, optional
        Name; rows and thumbnails of pictures that another data set holds stay.
    activations : bool
        Also all spaces that hold what a layer gives, as it is.
    force : bool
        Also what something needs.

    Raises
    ------
    UserError
        For what is not there, and without `force` for what is needed; nothing is deleted then.
    """
    stores = {store.folder: store for store in map(workspace.store_by_id, spaces)}
    if activations:
        stores |= {s.folder: s for s in workspace.spaces() if s.space.pooling.startswith(LAYER)}
    going = None if dataset is None else _DataSet.of(workspace, dataset)
    needed = _needs(workspace, stores.values()) + (going.needs() if going else [])
    if needed and not force:
        raise UserError(
            f"Expected what nothing needs, but {'; '.join(needed)}. Nothing was deleted. Leave it out, or pass --force."
        )
    notes = needed + _forget(workspace, [store.space.id for store in stores.values()], dataset)
    freed = [_remove_space(store) for store in stores.values()]
    if going:
        freed.append(going.remove(workspace))
        notes += going.notes()
    return Removed(freed, notes)


def _needs(workspace: Workspace, stores: Iterable[Store]) -> list[str]:
    """Why spaces should stay, one sentence a reason."""
    state = workspace.state()
    best = {run["path"]: run for run in (state.get("run"), *(state.get("runs") or {}).values()) if run}
    return [
        f"{Path(path).name}, the best run of {run['dataset']}, answers in space {store.space.id[:12]}"
        for store in stores
        for path, run in best.items()
        if store.space.id in (run.get("space") or "").split(",")
        and any((place / "run.json").exists() for place in (workspace.runs / Path(path).name, Path(path)))
    ]


def _forget(workspace: Workspace, spaces: Sequence[str], dataset: str | None) -> list[str]:
    """Let none of these be what was used last; says so where one was."""
    state = workspace.state()
    used = (state.get("space") or "").split(",")
    left = [each for each in used if each not in spaces]
    if left and left != used:
        workspace.remember(space=",".join(left))
    gone = {}
    if not left:
        gone["space"] = "--space ID"
    if dataset and state.get("dataset") == dataset:
        gone["dataset"] = "--dataset NAME"
    if not gone:
        return []
    workspace.remember(**dict.fromkeys(gone))
    return [f"what was used last is gone: run `extract`, or choose with {' and '.join(gone.values())}"]


def _remove_space(store: Store) -> Freed:
    space = store.space
    about = ", ".join([space.backbone, space.layout, *([space.view] if space.view != "plain" else [])])
    freed = Freed("space", space.id[:12], about, len(store), _size(store.folder))
    _discard(store.folder)
    return freed


@dataclass(frozen=True)
class _DataSet:
    """A data set on its way out, and what of it is its own."""

    name: str
    manifest: Manifest
    keys: NDArray[np.bytes_]  # (k,) 'S32', ascending: of pictures that no other data set holds
    shared: int  # pictures that others hold, too
    unpacked: Path | None  # its folder in `sources/`, where that is its own

    @classmethod
    def of(cls, workspace: Workspace, name: str) -> _DataSet:
        manifest = workspace.manifest(name)
        keys = _keys(manifest)
        own, unpacked = keys, _unpacked(workspace, manifest)
        for other in (workspace.manifest(each) for each in workspace.datasets() if each != name):
            own = np.delete(own, match(own, _keys(other))[0])
            unpacked = None if unpacked == _unpacked(workspace, other) else unpacked
        return cls(name, manifest, own, len(keys) - len(own), unpacked)

    def needs(self) -> list[str]:
        """Why its unpacked pictures should stay, if they are the only ones."""
        if self.unpacked is None or not self.unpacked.exists():
            return []
        try:
            of = check(check(read_json(_marker(self.unpacked)), of=dict).get("of") or {}, archive=str)
        except (OSError, DamagedJson):
            return []
        archive = of.get("archive")
        if "arrays" in of or (archive and not os.path.exists(archive)):
            why = f"{archive} is gone" if archive else "they came as arrays"
            return [f"{self.unpacked} has the only copy of the pictures of {self.name}: {why}"]
        return []

    def remove(self, workspace: Workspace) -> Freed:
        rows = freed = 0
        for store in workspace.stores():
            dropped, size = _drop(store, self.keys)
            freed += size
            if store.folder.parent.name == "spaces":
                rows += dropped
        if self.unpacked is not None:
            with locked(self.unpacked.parent):
                freed += _size(self.unpacked)
                _discard(self.unpacked)
                _discard(_marker(self.unpacked))
        workspace.forget_manifest(self.name)
        return Freed("data set", self.name, counted(len(self.manifest), "picture"), rows, freed)

    def notes(self) -> list[str]:
        stay = counted(self.shared, "picture is", "pictures are")
        return [
            *([f"{stay} in other data sets, too, and kept there"] if self.shared else []),
            f"the split and the readings of {self.name} stay: pictures that come back keep their part",
        ]


def _keys(manifest: Manifest) -> NDArray[np.bytes_]:
    return unique(as_items(manifest.key[manifest.hashed]))[0]


def _unpacked(workspace: Workspace, manifest: Manifest) -> Path | None:
    """The folder in `sources/` that a data set lies in; None for one that lies elsewhere."""
    sources = (workspace.root / "sources").resolve()
    root = Path(manifest.root).resolve()
    inside = sources in root.parents and sources.is_dir()
    return sources / root.relative_to(sources).parts[0] if inside else None


def _marker(unpacked: Path) -> Path:
    return unpacked.with_name(f"{unpacked.name}.json")


def _drop(store: Store, keys: NDArray[np.bytes_]) -> tuple[int, int]:
    """Delete the rows of these keys; returns how many there were, and their bytes.

    What else is in a shard is sealed again, with its age, before the shard is deleted; so a kill leaves rows twice at
    most. Shards that another process seals or merges meanwhile are looked at, too.
    """
    rows = freed = 0
    for shard in store.verified():
        try:
            there = match(shard.keys, keys)[0]
            if not len(there):
                continue
            if fault := shard.fault():
                store.set_aside(shard.path, fault)
                continue
            kept = np.delete(np.arange(len(shard)), there)
            if len(kept):
                held = shard.keys[kept].view(np.uint8).reshape(-1, KEY_BYTES)
                seal(store.shard_folder, store.space.id, held, shard.take(kept), stamp=shard.stamp)
        except (FileNotFoundError, DamagedShard) as change:
            store.notice(change)
            continue
        store.remove(shard)
        rows += len(there)
        freed += len(there) * (KEY_BYTES + shard.row_bytes) if len(kept) else shard.nbytes
    return rows, freed


def _discard(path: Path) -> None:
    """Delete a file or folder, which is whole or gone under its name; `gc` removes what a kill leaves."""
    forget(path)
    temporary = temporary_name(path)
    try:
        path.replace(temporary)
        sync_folder(path.parent)
        folder = temporary.is_dir() and not temporary.is_symlink()
        shutil.rmtree(temporary) if folder else temporary.unlink()
    except FileNotFoundError:  # another process was faster
        return
    except OSError as error:
        raise write_error(path, error) from error


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # merged into another meanwhile
            size += path.lstat().st_size if path.is_file() else 0
    return size


def run(options: RemoveOptions, say: Callable[[str], None]) -> Removed:
    """Answer the command line."""
    if not (options.spaces or options.dataset or options.activations):
        raise UserError(
            "Expected what to remove: starts of spaces' ids, --dataset NAME or --activations. `cache ls` lists them."
        )
    return remove(
        Workspace.locate(options.workspace),
        options.spaces,
        options.dataset,
        activations=options.activations,
        force=options.force,
    )
