"""An address -> the bytes that lie there. The only way by which the bytes of a manifest's pictures are had."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol


class Bytes(Protocol):
    """What can be read from a place, from its start on; None from `read`: nothing there now, though not at the end."""

    def read(self, size: int, /) -> bytes | None: ...

    def seek(self, offset: int, /) -> int: ...


@dataclass(frozen=True)
class Opened:
    """The bytes of one picture, and what tells whether they are those of before without reading them."""

    file: Bytes
    size: int  # bytes, by which reading is bounded
    mtime_ns: int  # time of last change, nanoseconds since 1970


def join(root: str | os.PathLike[str], path: str) -> str:
    """The address of a picture: its path, or that below a root."""
    return os.path.join(root, path)


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
    with open(address, "rb", buffering=0, opener=open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        yield Opened(file, status.st_size, status.st_mtime_ns)


def size_at(address: str | os.PathLike[str]) -> int | None:
    """Bytes of what lies at an address, as far as that is known without reading it; None where nothing is."""
    try:
        status = os.stat(address)
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def is_gone(root: str) -> bool:
    """Tell whether all that lay below the root of a manifest is gone, so that no picture need be looked for."""
    return not os.path.lexists(root)


def open_at_once(path: str, flags: int) -> int:
    """Open a file as `open` does, without waiting for whoever writes into a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
