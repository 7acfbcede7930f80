"""Export a data set as one plain HDF5 file for other programs."""

import contextlib
import errno
import math
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cache.commands.options import ExportOptions
from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from cache.storage.files import sync_folder, temporary_name, write_error
from cache.storage.hdf5 import LIBVER
from cache.storage.store import Store
from cache.workspace import Workspace

SUFFIXES = (".h5", ".hdf5")
_BLOCK = 8_192  # rows in memory at a time
_NO_SUCH_CALL = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # of this file system


def export(manifest: Manifest, store: Store, out: Path, *, force: bool = False) -> int:
    """Write embeddings, labels and names to one file, complete or not at all.

    The file holds /embedding (n, D) float32, /label (n,) int32 (-1 for none), /path (n,) text, /key (n, 32)
    uint8, /split (n,) text and /classes (C,) text, all in manifest order, and the attributes `root` and
    `space` (JSON).

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
    temporary = temporary_name(out)
    try:
        with temporary.open("x+b", buffering=0) as disk:
            with h5py.File(disk, "w", libver=LIBVER) as file:
                _reserve(disk.fileno(), _largest_size(manifest, store))
                _fill(file, manifest, store)
            os.fsync(disk.fileno())
        temporary.replace(out)
        sync_folder(out.parent)
    except (OSError, RuntimeError) as error:  # h5py may tell the error number in its text only
        number = re.search(r"(?i)errno (?:= )?(\d+)", str(error))
        raise write_error(out, OSError(int(number[1]) if number else 0, str(error))) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return len(manifest)


def _largest_size(manifest: Manifest, store: Store) -> int:
    """Return a number of bytes that the file does not pass."""
    width = math.prod(store.gather(manifest.key[:0]).shape[1:])
    names = sum(len(name.encode("utf-8", "surrogateescape")) for name in (*manifest.paths, *manifest.classes))
    texts = 128  # references and heap entries of two
    return len(manifest) * (4 * width + 4 + manifest.key.shape[1] + texts) + names + 1_000_000


def _reserve(handle: int, nbytes: int) -> None:
    """Take the room on the disk first: HDF5 crashes the process when it cannot write what it has begun."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(handle, 0, nbytes)
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise


def _fill(file: h5py.File, manifest: Manifest, store: Store) -> None:
    """Write all data sets, block by block."""
    n, text = len(manifest), h5py.string_dtype("utf-8")
    shape = store.gather(manifest.key[:0]).shape[1:]
    embedding = file.create_dataset("embedding", (n, *shape), "<f4")
    path = file.create_dataset("path", (n,), text)
    split = file.create_dataset("split", (n,), text)
    names = np.array(SPLITS, object)
    for number, rows in enumerate(store.stream(manifest.key, _BLOCK)):
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
    data = Workspace.locate(options.workspace).load(options.dataset, options.space)
    rows = export(data.manifest, data.store, Path(options.out), force=options.force)
    return Exported(rows, data.missing, options.out, data.space.id, data.name)
