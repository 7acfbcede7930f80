"""Read a picture's file once, without ever waiting for it: bytes, key, pixels."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.manifest import Manifest
from extract.pictures.augmentation import View
from extract.pictures.decoding import HEADER, RejectedImage, check_large, may_be_picture, render
from extract.pictures.memory import FILES, MIB
from extract.settings import Decoding

MAX_BYTES = 512 * MIB  # a file that a picture never is
LARGE = 2 * MIB  # a file of more bytes is looked at before it is read
_START = 64


@dataclass(frozen=True)
class Contents:
    """A file that was read once."""

    key: bytes  # SHA-256 of all its bytes
    data: bytes  # all its bytes, or as many of the first as show that it is no picture
    status: os.stat_result  # when it was read


@contextmanager
def opened(path: Path) -> Iterator[Contents]:
    """Read a file; the bytes of a `large` one count in `memory.FILES` as long as it is open.

    Raises
    ------
    RejectedImage
        If it cannot be read at once, is no regular file, or is longer than it says.
    """
    with ExitStack() as room:
        with _regular(path) as (file, status):
            if not large(status):
                contents = _whole(file, status)
            elif may_be_picture(_start(file, _START)):
                room.enter_context(FILES.hold(status.st_size))
                check_large(_start(file, HEADER), status.st_size)
                contents = _whole(file, status)
            else:
                contents = _hashed(file, status)
        yield contents
        del contents  # before the room is given back


def hashed(path: Path) -> Contents:
    """Read a file and keep only its first bytes; RejectedImage as by `opened`."""
    with _regular(path) as (file, status):
        return _hashed(file, status)


def first_bytes(path: Path) -> bytes:
    """Read as much of a file as shows whether it can be a picture; RejectedImage as by `opened`."""
    with _regular(path) as (file, _):
        return _read(file, _START)


def large(status: os.stat_result) -> bool:
    """Tell whether a file is looked at before it is read."""
    return status.st_size > LARGE


@contextmanager
def _regular(path: Path) -> Iterator[tuple[io.FileIO, os.stat_result]]:
    """Open a file for reading, and turn whatever goes wrong with it into a RejectedImage."""
    try:
        with open(path, "rb", buffering=0, opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise RejectedImage("cannot be read: not a regular file")
            if status.st_size > MAX_BYTES:
                raise RejectedImage(
                    f"cannot be read: file too large: {status.st_size:,} bytes, the limit is {MAX_BYTES:,}"
                )
            yield file, status
    except OSError as error:
        raise RejectedImage(f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # no file can have such a name
        raise RejectedImage(f"cannot be read: {error}") from error


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for a pipe which took a picture's name since the scan."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _start(file: io.FileIO, most: int) -> bytes:
    start = _read(file, most)
    file.seek(0)
    return start


def _whole(file: io.FileIO, status: os.stat_result) -> Contents:
    size = status.st_size
    data = _read(
        file, size + 1
    )  # one more shows that it has grown, or is of those that never tell their size
    if len(data) > size:
        data += _read(file, LARGE)
        _check_end(len(data), size)
    return Contents(hashlib.sha256(data).digest(), data, status)


def _hashed(file: io.FileIO, status: os.stat_result) -> Contents:
    digest, count, start = hashlib.sha256(), 0, b""
    # One read for a picture of the expected size, and one that finds the end; bounded for any other file.
    while block := _read(file, min(status.st_size + 1, MIB)):
        start = start or block[:_START]
        count += len(block)
        _check_end(count, status.st_size)
        digest.update(block)
    return Contents(digest.digest(), start, status)


def _check_end(count: int, size: int) -> None:
    if count > max(size, LARGE):
        raise RejectedImage(f"cannot be read: it goes on after its {size:,} bytes; is it being written?")


def _read(file: io.FileIO, most: int) -> bytes:
    """Read so many bytes, or to the end."""
    parts: list[bytes] = []
    while most and (part := file.read(most)) != b"":
        if part is None:
            raise RejectedImage("cannot be read: it is no plain file, and has nothing to give now")
        parts.append(part)
        most -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def reader(manifest: Manifest) -> Callable[[int], bytes]:
    """Return what reads the file of a row of the manifest; RejectedImage where it cannot."""
    root = Path(manifest.root)

    def read(row: int) -> bytes:
        with opened(root / manifest.paths[row]) as contents:
            return contents.data

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
    with opened(root / path) as contents:
        if contents.key != key:
            raise RejectedImage("changed since it was extracted")
        return render(contents.data, key, size, decoding, view)


def load_row(
    manifest: Manifest, row: int, size: int, decoding: Decoding, view: View | None = None
) -> np.ndarray:
    """Decode the picture of a row of a hashed manifest again; as `load` does."""
    path, key = manifest.paths[row], manifest.key[row].tobytes()
    return load(Path(manifest.root), path, key, size, decoding, view)
