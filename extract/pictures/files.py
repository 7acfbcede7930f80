"""Read a picture's file once, without ever waiting for it: bytes, key, pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from cache.manifest import Manifest
from extract.pictures.augmentation import View
from extract.pictures.decoding import HEADER, RejectedImage, check_large, may_be_picture, render
from extract.pictures.memory import FILES, MIB
from extract.settings import Decoding
from extract.sources.places.kinds import Bytes, Opened
from extract.sources.places.place import join, open_at

Address = str | os.PathLike[str]  # root and path of a manifest, joined

MAX_BYTES = 512 * MIB  # a file that a picture never is
LARGE = 2 * MIB  # a file of more bytes is looked at before it is read
_START = 64


@dataclass(frozen=True)
class Contents:
    """A file that was read once."""

    key: bytes  # SHA-256 of all its bytes
    data: bytes  # all its bytes, or as many of the first as show that it is no picture
    size: int  # what the place said when it was read, as in a manifest
    mtime_ns: int


@contextmanager
def opened(address: Address) -> Iterator[Contents]:
    """Read a picture's bytes, wherever they lie; those of a `large` one count in `memory.FILES` as long as it is open.

    Raises
    ------
    RejectedImage
        If it cannot be read at once, is no regular file, or is longer than it says.
    """
    with ExitStack() as room:
        with _there(address) as there:
            if there.size <= LARGE:
                contents = _whole(there)
            elif may_be_picture(_start(there.file, _START)):
                room.enter_context(FILES.hold(there.size))
                check_large(_start(there.file, HEADER), there.size)
                contents = _whole(there)
            else:
                contents = _hashed(there)
        yield contents
        del contents  # before the room is given back


def hashed(address: Address) -> Contents:
    """Read a file and keep only its first bytes; RejectedImage as by `opened`."""
    with _there(address) as there:
        return _hashed(there)


def first_bytes(address: Address) -> bytes:
    """Read as much of a file as shows whether it can be a picture; RejectedImage as by `opened`."""
    with _there(address) as there:
        return _read(there.file, _START)


def large(contents: Contents) -> bool:
    """Tell whether what is held of a file counts in `memory.FILES`."""
    return len(contents.data) > LARGE


@contextmanager
def _there(address: Address) -> Iterator[Opened]:
    """Open what lies at an address, and turn whatever goes wrong with it into a RejectedImage."""
    try:
        with open_at(address) as there:
            if there.size > MAX_BYTES:
                raise RejectedImage(
                    f"cannot be read: file too large: {there.size:,} bytes, the limit is {MAX_BYTES:,}"
                )
            yield there
    except OSError as error:
        raise RejectedImage(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # no file can have such a name
        raise RejectedImage(f"cannot be read: {error}") from error


def _start(file: Bytes, most: int) -> bytes:
    start = _read(file, most)
    file.seek(0)
    return start


def _whole(there: Opened) -> Contents:
    # One more shows that it has grown, or is of those that never tell their size.
    data = _read(there.file, there.size + 1)
    if len(data) > there.size:
        data += _read(there.file, LARGE)
        _check_end(len(data), there.size)
    return Contents(hashlib.sha256(data).digest(), data, there.size, there.mtime_ns)


def _hashed(there: Opened) -> Contents:
    digest, count, start = hashlib.sha256(), 0, b""
    # One read for a picture of the expected size, and one that finds the end; bounded for any other file.
    while block := _read(there.file, min(there.size + 1, MIB)):
        start = start or block[:_START]
        count += len(block)
        _check_end(count, there.size)
        digest.update(block)
    return Contents(digest.digest(), start, there.size, there.mtime_ns)


def _check_end(count: int, size: int) -> None:
    if count > max(size, LARGE):
        raise RejectedImage(f"cannot be read: it goes on after its {size:,} bytes; is it being written?")


def _read(file: Bytes, most: int) -> bytes:
    """Read so many bytes, or to the end."""
    parts: list[bytes] = []
    while most and (part := file.read(most)) != b"":
        if part is None:
            raise RejectedImage("cannot be read: it is no plain file, and has nothing to give now")
        parts.append(part)
        most -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def address(manifest: Manifest, row: int) -> str:
    """Where the picture of a row of a manifest lies."""
    return join(manifest.root, manifest.paths[row])


def reader(manifest: Manifest) -> Callable[[int], bytes]:
    """Return what reads the file of a row of the manifest; RejectedImage where it cannot."""

    def read(row: int) -> bytes:
        with opened(address(manifest, row)) as contents:
            return contents.data

    return read


def load(
    root: str | os.PathLike[str],
    path: str,
    key: bytes,
    size: int,
    decoding: Decoding,
    view: View | None = None,
) -> np.ndarray:
    """Read one file and decode it as `FileReader` does, for whoever needs pixels and not rows.

    Parameters
    ----------
    root : str
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
    with opened(join(root, path)) as contents:
        if contents.key != key:
            raise RejectedImage("changed since it was extracted")
        return render(contents.data, key, size, decoding, view)


def load_row(
    manifest: Manifest, row: int, size: int, decoding: Decoding, view: View | None = None
) -> np.ndarray:
    """Decode the picture of a row of a hashed manifest again; as `load` does."""
    path, key = manifest.paths[row], manifest.key[row].tobytes()
    return load(manifest.root, path, key, size, decoding, view)
