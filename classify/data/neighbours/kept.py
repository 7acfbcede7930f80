"""What was found of a data set's rows, kept beside their space: sealed files that anyone may delete."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cache.storage.files import make_folder
from cache.storage.hdf5 import UNREADABLE, read_arrays, write_arrays
from cache.storage.store import Store

FORMAT = 1
_FILES = 16  # of a space: data sets change, and none asks for the files of what it was before


def place(store: Store, name: str, digest: str) -> Path:
    """Where what is called `name`, found of what has this hash, lies."""
    return store.folder / "neighbours" / f"{name}-{digest}.h5"


def recall(path: Path) -> Mapping[str, NDArray[Any]] | None:
    """Read what was kept; None where there is nothing, or damage."""
    try:
        arrays, sealed = read_arrays(path, FORMAT, "delete it: it is found again.")
    except (FileNotFoundError, *UNREADABLE):
        return None
    return arrays if sealed else None


def keep(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write one file, and delete the oldest where there are too many."""
    make_folder(path.parent)
    write_arrays(path, FORMAT, arrays)
    for old in sorted(path.parent.glob("[!.]*.h5"), key=_age)[:-_FILES]:
        old.unlink(missing_ok=True)


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # deleted by another process
        return 0
