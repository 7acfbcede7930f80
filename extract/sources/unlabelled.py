"""Pictures without labels: files and folders, as given to `predict`, to a manifest."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.remote.address import address_of
from cache.storage.remote.objects import Objects


def list_pictures(paths: Sequence[Path]) -> Manifest:
    """List files, and the files in folders at any depth, under the names they were given by.

    Names that start with a dot are left out of folders; a file that is named itself is always taken.

    Returns
    -------
    Manifest
        Root is the current folder, nothing is labelled or hashed; folders' files are in order of their names.

    Raises
    ------
    UserError
        If a path is not there, or there is no file at all.
    """
    found: list[str] = []
    for path in paths:
        if address := address_of(path):
            found += _listed(address)
        elif path.is_dir():
            found += sorted(_walk(path))
        elif path.exists():
            found.append(str(path))
        else:
            raise UserError(
                f"Expected a picture or a folder of pictures, received {str(path)!r}: nothing is there."
            )
    if not found:
        raise UserError(f"Expected pictures, received {len(paths)} folders without files.")
    return unlabelled(found)


def unlabelled(paths: list[str]) -> Manifest:
    """Make a manifest of files of which only the names are known; relative ones start in the current folder."""
    count = len(paths)
    return Manifest(
        root=os.getcwd(),
        classes=(),
        paths=paths,
        label=np.full(count, -1, np.int32),
        split=np.zeros(count, np.uint8),
        key=np.zeros((count, 32), np.uint8),
        size=np.zeros(count, np.int64),
        mtime_ns=np.zeros(count, np.int64),
    )


def _listed(address: str) -> list[str]:
    """The object at an address, or those below it but for hidden ones."""
    inside = [each.path for each in Objects(address).list() if each.size]
    shown = [path for path in inside if not any(part.startswith(".") for part in path.split("/"))]
    return [f"{address}/{path}" for path in sorted(shown)] if inside else [address]


def _walk(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(parent, name) for name in files if not name.startswith("."))
