"""An address -> the bytes that lie there. The only way by which the bytes of a manifest's pictures are had."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from cache.storage.remote.address import address_of
from extract.sources.places.kinds import Opened
from extract.sources.places.objects import on_their_way, open_object, size_of


def join(root: str | os.PathLike[str], path: str) -> str:
    """The address of a picture: its path, or that below a root."""
    return path if address_of(path) else os.path.join(root, path)


@contextmanager
def open_at(address: str | os.PathLike[str]) -> Iterator[Opened]:
    """Open what lies at an address, without waiting for a pipe that took a picture's name; from several threads.

    Parameters
    ----------
    address : str
        As `join` makes it.

    Raises
    ------
    OSError
        If nothing is there or it cannot be read: its `strerror` says why.
    ValueError
        If nothing can have such an address.
    """
    if there := address_of(address):
        with open_object(there) as opened:
            yield opened
        return
    with open(address, "rb", buffering=0, opener=open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        yield Opened(file, status.st_size, status.st_mtime_ns)


def size_at(address: str | os.PathLike[str]) -> int | None:
    """Bytes of what lies at an address, as far as that is known without reading it; None where nothing is."""
    if there := address_of(address):
        return size_of(there)
    try:
        status = os.stat(address)
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def is_gone(root: str) -> bool:
    """Tell whether all that lay below the root of a manifest is gone, so that no picture need be looked for."""
    return not address_of(root) and not os.path.lexists(root)


@contextmanager
def expected(root: str, paths: Iterable[str], sizes: Iterable[int]) -> Iterator[None]:
    """Have the pictures of a manifest, `sizes` in bytes, read before they are opened, where they lie far away.

    They are opened in about this order while the block runs.
    """
    if not address_of(root):
        yield
        return
    with on_their_way((join(root, path) for path in paths), sizes):
        yield


def open_at_once(path: str, flags: int) -> int:
    """Open a file as `open` does, without waiting for whoever writes into a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
