"""Pictures in a tar that is not compressed: read where they lie, by the offsets that its headers tell."""

from __future__ import annotations

import os
import tarfile
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True)
class Member:
    """A header in a tar. `refused` says why it is no file of its own; empty for one that is."""

    name: str
    offset: int
    size: int
    refused: str = ""


class Header(tarfile.TarInfo):
    """A header that is refused when it is damaged: tarfile takes one for the archive's end, without a word."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Header:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf):
                raise tarfile.ReadError(f"{error} in an entry") from error
            raise


def headers(content: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """Yield the headers of a tar, but for folders, in its order; each with why it is no file, empty for one that is."""
    while (info := content.next()) is not None:
        content.members.clear()  # type: ignore[attr-defined]  # the headers of all entries so far
        if not info.isdir():
            link = info.issym() or info.islnk()
            yield info, "a link" if link else "" if info.isreg() else "not a regular file"


def members(file: IO[bytes]) -> Iterator[Member]:
    """Yield what a tar that is not compressed holds, but for folders, in its order.

    Raises
    ------
    tarfile.TarError, OSError
        Where it is damaged, cut or compressed.
    """
    with tarfile.open(fileobj=file, mode="r:", tarinfo=Header) as content:
        for info, refused in headers(content):
            if info.issparse():
                refused = "not a regular file"
            yield Member(info.name.removeprefix("./"), info.offset_data, info.size, refused)


class _Tar:
    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))  # open as long as somebody reads
        weakref.finalize(self, os.close, self._file)
        self._lock = threading.Lock()
        with open(self._file, "rb", closefd=False) as file:
            self._at = {each.name: each for each in members(file) if not each.refused}

    def open(self, member: str) -> tuple[_Window, int]:
        found = self._at.get(member)
        if found is None:
            raise OSError(0, "no such file in the archive")
        return _Window(self, found), found.size

    def read(self, offset: int, size: int) -> bytes:
        """Read so many bytes at most."""
        with self._lock:  # not pread, which not every system has
            os.lseek(self._file, offset, os.SEEK_SET)
            return os.read(self._file, size)

    def size(self, member: str) -> int | None:
        found = self._at.get(member)
        return None if found is None else found.size


class _Window:
    """The bytes of one member; a position of its own, so that threads share the file."""

    def __init__(self, tar: _Tar, member: Member) -> None:
        self._tar, self._member, self._position = tar, member, 0

    def read(self, size: int, /) -> bytes:
        left = self._member.size - self._position
        data = self._tar.read(self._member.offset + self._position, min(size, left))
        if not data and min(size, left):
            raise OSError(0, "the archive was cut short")
        self._position += len(data)
        return data

    def seek(self, offset: int, /) -> int:
        self._position = offset
        return offset


def open_tar(path: str) -> _Tar:
    """List a tar and keep it open; OSError where it cannot be read."""
    try:
        return _Tar(path)
    except tarfile.TarError as error:
        raise OSError(0, f"damaged archive: {error}") from error
