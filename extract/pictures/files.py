"""Read a picture's file once, without ever waiting for it: bytes, key, pixels."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cache.manifest import Manifest
from extract.pictures.augmentation import View
from extract.pictures.decoding import RejectedImage, render
from extract.settings import Decoding

MAX_BYTES = 512 * 2**20  # a file that a picture never is; reading it would only fill the memory


def open_at_once(path: str, flags: int) -> int:
    """Open a file, as an `opener`, that never waits for a pipe which took a picture's name since the scan."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_file(path: Path) -> tuple[bytes, os.stat_result]:
    """Read a file and say what it was when it was read; RejectedImage where it cannot be, or is no regular file."""
    try:
        with open(path, "rb", buffering=0, opener=open_at_once) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise RejectedImage("cannot be read: not a regular file")
            if found.st_size > MAX_BYTES:
                raise RejectedImage(
                    f"cannot be read: file too large: {found.st_size:,} bytes, the limit is {MAX_BYTES:,}"
                )
            return file.readall(), found
    except OSError as error:
        raise RejectedImage(f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # no file can have such a name
        raise RejectedImage(f"cannot be read: {error}") from error


def reader(manifest: Manifest) -> Callable[[int], bytes]:
    """Return what reads the file of a row of the manifest."""
    root = Path(manifest.root)

    def read(row: int) -> bytes:
        with open(root / manifest.paths[row], "rb", opener=open_at_once) as file:
            return file.read(int(manifest.size[row]) + 1)  # one more shows that it grew

    return read


def load(
    root: Path, path: str, key: bytes, size: int, decoding: Decoding, view: View | None = None
) -> np.ndarray:
    """Read one file and decode it as `FileReader` does, for whoever needs pixels and not rows.

    Parameters
    ----------
    root : Path
    path : str
        Relative to `root`, as in a manifest.
    key : bytes
        The image key that the file is known by, 32 bytes.
    size : int
        Side of the result in pixels.
    decoding : Decoding
    view : View, optional
        Default: the plain picture.

    Returns
    -------
    pixels : ndarray of shape (size, size, 3), dtype uint8
        RGB, 0..255. Read-only.

    Raises
    ------
    RejectedImage
        If the file cannot be read, holds other bytes than `key` says, or is no picture.
    """
    data, _ = read_file(root / path)
    if hashlib.sha256(data).digest() != key:
        raise RejectedImage("changed since it was extracted")
    return render(data, key, size, decoding, view)


def load_row(
    manifest: Manifest, row: int, size: int, decoding: Decoding, view: View | None = None
) -> np.ndarray:
    """Decode the picture of a row of a hashed manifest again; as `load` does."""
    path, key = manifest.paths[row], manifest.key[row].tobytes()
    return load(Path(manifest.root), path, key, size, decoding, view)
