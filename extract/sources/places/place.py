"""An address -> the bytes that lie there. The only way by which the bytes of a manifest's pictures are had."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from cache.storage.remote.address import address_of
from extract.sources.places.kinds import Opened
from extract.sources.places.objects import open_object, send_for, send_no_more, status_of_object
from extract.sources.places.packed import open_packed, size_packed, split, stamp


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
    with _file(address) as there:
        yield there


def _file(address: str | os.PathLike[str]) -> AbstractContextManager[Opened]:
    if far := address_of(address):
        return open_object(far)
    try:
        file = open(address, "rb", buffering=0, opener=open_at_once)  # noqa: SIM115  # closed by `_plain`
    except (NotADirectoryError, FileNotFoundError):  # the latter where the system has no other word
        found = split(os.fspath(address))
        if found is None:
            raise
        return open_packed(*found)
    return _plain(file)


@contextmanager
def _plain(file: io.FileIO) -> Iterator[Opened]:
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        yield Opened(file, status.st_size, status.st_mtime_ns)


def stat_at(address: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Size in bytes and time of last change of what lies at an address; None where no picture can lie.

    The size is 0 where only reading tells it.
    """
    if far := address_of(address):
        return status_of_object(far)
    try:
        status = os.stat(address)
    except (OSError, ValueError):
        found = split(os.fspath(address))
        size = size_packed(*found) if found else None
        return None if found is None or size is None else (size, stamp(os.stat(found[0])))
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def is_gone(root: str) -> bool:
    """Tell whether all that lay below the root of a manifest is gone, so that no picture need be looked for."""
    return not address_of(root) and not os.path.lexists(root)


def soon(root: str, paths: Iterable[str], sizes: Iterable[int]) -> Callable[[], None]:
    """Have pictures of a manifest, `sizes` in bytes, read before they are opened, where they lie far away.

    They are to be opened in about this order; what is returned takes that back for those that will not be.
    """
    if not address_of(root):
        return lambda: None
    return partial(send_no_more, send_for((join(root, path) for path in paths), sizes))


def open_at_once(path: str, flags: int) -> int:
    """Open a file as `open` does, without waiting for whoever writes into a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
