"""Files that have arrived in a folder: there, and the same at two looks one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

Stamp = tuple[int, int]  # size and time of a file


class Arrivals:
    """What is new in a folder since the last look.

    Parameters
    ----------
    folder : Path
    known : iterable of str
        Paths below it that are no news.
    """

    def __init__(self, folder: Path, known: Iterable[str] = ()) -> None:
        self._folder = folder
        self._known: dict[str, Stamp | None] = dict.fromkeys(known)  # None: whatever its stamp is
        self._before: dict[str, Stamp] = {}

    def look(self) -> list[str]:
        """Name the files that have stopped changing, by their paths below the folder, in order; each once."""
        now = dict(_stamps(self._folder, ""))
        whole = [
            path
            for path in sorted(now)
            if now[path] == self._before.get(path) and self._is_new(path, now[path])
        ]
        self._before = now
        self._known |= {path: now[path] for path in whole}
        return whole

    def _is_new(self, path: str, stamp: Stamp) -> bool:
        return path not in self._known or self._known[path] not in (None, stamp)

    def answered(self, path: str) -> None:
        """Forget the stamp of a file, which is no news any more; one that was rejected is, once it changes."""
        self._known[path] = None


def _stamps(folder: Path, below: str) -> Iterator[tuple[str, Stamp]]:
    """Size and time of each file; names that start with a dot are left out, and so is what goes away meanwhile."""
    try:
        entries = sorted(os.scandir(folder / below), key=lambda each: each.name)
    except FileNotFoundError:
        return
    for entry in entries:
        path = f"{below}/{entry.name}" if below else entry.name
        if entry.name.startswith("."):
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _stamps(folder, path)
            elif entry.is_file():
                status = entry.stat()
                yield path, (status.st_size, status.st_mtime_ns)
        except FileNotFoundError:
            continue
