"""Export a data set as one plain HDF5 file for other programs."""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cache.commands.options import ExportOptions
from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from cache.storage.files import TEMPORARY, locked, sync_folder, write_error
from cache.storage.hdf5 import LIBVER
from cache.storage.store import Store
from cache.workspace import Workspace

SUFFIXES = (".h5", ".hdf5")
_BLOCK = 8_192  # rows in memory at a time


def export(manifest: Manifest, store: Store, out: Path, *, force: bool = False) -> int:
    """Write embeddings, labels and names to one file, complete or not at all.

    The file holds /embedding (n, D) float32, /label (n,) int32 (-1 for none), /path (n,) text, /key (n, 32)
    uint8, /split (n,) text and /classes (C,) text, all in manifest order, and the attributes `root` and
    `space` (JSON); where a row has parts, also `parts` (JSON): name to first column and the one after the last.

    Parameters
    ----------
    manifest : Manifest
        Samples that all have an embedding.
    store : Store
    out : Path
    force : bool
        Replace an existing file.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    UserError
        When `out` exists and `force` is not set, when it has another suffix or no folder, when a sample has no
        embedding, or when the disk is full.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise UserError(f"Expected a file that ends in {' or '.join(SUFFIXES)}, received {out}. Name it so.")
    if not out.parent.is_dir():
        raise UserError(
            f"Expected a file in an existing folder, received {out}: {out.parent} is not there. Make it."
        )
    if out.exists() and not force:
        raise UserError(f"Expected a new file, received {out}, which exists. Pass --force to replace it.")
    leftover = f"{TEMPORARY}{hashlib.sha256(os.fsencode(out.name)).hexdigest()[:16]}-"
    for path in out.parent.glob(f"{leftover}*"):  # of exports that were killed: those that run hold a lock
        with contextlib.suppress(OSError), locked(path, wait=False):
            path.unlink()
    temporary = out.with_name(leftover + os.urandom(8).hex())
    try:
        temporary.touch(exist_ok=False)
        with locked(temporary):
            with _Disk(temporary, "w+") as disk:
                try:
                    with h5py.File(disk, "w", libver=LIBVER) as file:
                        _fill(file, manifest, store, disk)
                finally:
                    disk.check()
                os.fsync(disk.fileno())
            temporary.replace(out)
        sync_folder(out.parent)
    except OSError as error:
        raise write_error(out, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return len(manifest)


class _Disk(io.FileIO):
    """A file that takes whatever HDF5 writes, and keeps the failure: HDF5 crashes where it cannot end what it began.

    What the disk did not take stays in memory, since HDF5 reads its own bytes again.
    """

    failure: BaseException | None = None

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self._lost: list[tuple[int, bytes]] = []

    def write(self, data: Any) -> int:
        rest, start = memoryview(data).cast("B"), self.tell()
        end = start + len(rest)
        with self._kept():
            while rest and self.failure is None:
                rest = rest[super().write(rest) :]
        if rest:
            self._lost.append((end - len(rest), bytes(rest)))
            self.seek(end)
        return end - start

    def readinto(self, buffer: Any) -> int:
        into, start = memoryview(buffer).cast("B"), self.tell()
        into[:] = bytes(len(into))
        with self._kept():
            super().readinto(into)
        for offset, data in self._lost:
            low, high = max(start, offset), min(start + len(into), offset + len(data))
            if low < high:
                into[low - start : high - start] = data[low - offset : high - offset]
        self.seek(start + len(into))
        return len(into)

    def truncate(self, size: int | None = None) -> int:
        with self._kept():
            return super().truncate(size)
        return size or 0

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except BaseException as failure:  # Ctrl-C as well
            self.failure = self.failure or failure

    def check(self) -> None:
        """Raise the first failure."""
        if self.failure is not None:
            raise self.failure


def _fill(file: h5py.File, manifest: Manifest, store: Store, disk: _Disk) -> None:
    """Write all data sets, block by block."""
    n, text = len(manifest), h5py.string_dtype("utf-8")
    shape = store.gather(manifest.key[:0]).shape[1:]
    embedding = file.create_dataset("embedding", (n, *shape), "<f4")
    path = file.create_dataset("path", (n,), text)
    split = file.create_dataset("split", (n,), text)
    names = np.array(SPLITS, object)
    for number, rows in enumerate(store.stream(manifest.key, _BLOCK, manifest.paths)):
        disk.check()
        part = slice(number * _BLOCK, number * _BLOCK + len(rows))
        embedding[part] = rows
        # As bytes, because a name need not be valid UTF-8 and must come back as it was.
        path[part] = [name.encode("utf-8", "surrogateescape") for name in manifest.paths[part]]
        split[part] = names[manifest.split[part]]
    file.create_dataset("label", data=manifest.label, dtype="<i4")
    file.create_dataset("key", data=manifest.key)
    classes = [name.encode("utf-8", "surrogateescape") for name in manifest.classes]
    file.create_dataset("classes", data=np.array(classes, object), dtype=text)
    file.attrs["root"] = manifest.root.encode("utf-8", "surrogateescape")
    file.attrs["space"] = store.space.to_json()
    if parts := store.space.parts:
        file.attrs["parts"] = json.dumps({part.name: [part.start, part.stop] for part in parts})


@dataclass(frozen=True)
class Exported:
    """What was written, and how many samples had no embedding."""

    rows: int
    missing: int
    file: str
    space: str
    dataset: str

    def to_json(self) -> dict[str, Any]:
        """The facts for scripts."""
        return {name: value for name, value in asdict(self).items() if name != "dataset"}

    def to_text(self) -> str:
        """The same for people."""
        return (
            f"{self.rows:,} rows of {self.dataset} written to {self.file}, {self.missing:,} had no embedding"
        )


def run(options: ExportOptions, say: Callable[[str], None]) -> Exported:
    """Answer the command line."""
    data = Workspace.locate(options.workspace).load(options.dataset, options.space).alone()
    rows = export(data.manifest, data.store, Path(options.out), force=options.force)
    return Exported(rows, data.missing, options.out, data.space.id, data.name)
