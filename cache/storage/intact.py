"""Which files of a folder this machine has compared with their hashes; kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from cache.storage.files import open_regular, user_folder
from cache.storage.hdf5 import open_raw
from cache.storage.remote.mirror import Status

Identity = tuple[int, int, int, int, int]


def is_intact(path: Path) -> bool:
    """Tell whether a file's bytes still have the SHA-256 its name promises; reads all of it.

    Raises FileNotFoundError when it is gone.
    """
    with open_raw(path) as file:
        try:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:  # the disk cannot give the bytes back
            return False
    return path.stem.rsplit("-", 1)[-1] == digest[:16]


def identity(stat: os.stat_result | Status) -> Identity:
    """Device, inode, size, and times of the last change of content and of inode: no copy has them all."""
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


class Intact:
    """Files that were found intact, one a line: name and identity.

    The list does not lie beside the files: one that travels with a copy would vouch for what the copying damaged.
    Losing it costs that the files are read again, so nothing here is ever an error.

    Parameters
    ----------
    folder : Path
        Of the files.
    """

    def __init__(self, folder: Path) -> None:
        digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
        self._path = user_folder() / "verified" / digest[:32]
        self._lines: set[str] = set()

    def has(self, name: str, found: Identity) -> bool:
        """Tell whether the file with this name and identity was found intact."""
        line = _line(name, found)
        if line not in self._lines:  # another process may have looked meanwhile
            with contextlib.suppress(OSError):
                self._lines.update(self._read())
        return line in self._lines

    def add(self, name: str, found: Identity) -> None:
        """Note that a file was found intact; whole lines of several processes do not mix."""
        self._lines.add(_line(name, found))
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(self._path) and not self._path.is_file():
                return  # a pipe in its place would block
            with self._path.open("a", encoding="utf-8", errors="replace", newline="\n") as file:
                file.write(_line(name, found) + "\n")

    def keep(self, names: set[str]) -> None:
        """Forget all but the files with these names."""
        with contextlib.suppress(OSError):
            kept = [line for line in dict.fromkeys(self._read()) if line.rsplit(" ", 5)[0] in names]
            self._path.write_text("".join(f"{line}\n" for line in kept), "utf-8")

    def _read(self) -> list[str]:
        with open_regular(self._path) as file:
            return file.read().decode("utf-8", "replace").splitlines()


def _line(name: str, found: Identity) -> str:
    return " ".join((name, *map(str, found)))
