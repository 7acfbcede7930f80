"""What a place gives, and what a file that holds pictures can do."""

from __future__ import annotations

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


class Pack(Protocol):
    """A file that holds pictures; used by several threads."""

    def open(self, member: str) -> tuple[Bytes, int]:
        """Return a picture and how many bytes it has; OSError where it is not there or cannot be read."""
        ...

    def size(self, member: str) -> int | None:
        """Bytes of a picture, 0 where only reading tells; None where it is not there."""
        ...
