"""Walk a folder of pictures once, with a record of everything that is not a sample."""

import os
import stat
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.storage.rejects import Reject

_CLUTTER = frozenset(
    {"thumbs.db", "desktop.ini", "__macosx"}
)  # what systems leave behind without being asked
_PAPERS = (".txt", ".md", ".rst", ".pdf", ".html", ".json", ".csv", ".tsv", ".xml", ".yaml", ".yml")
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class ClassFolder:
    """One folder whose files, and those of all folders below it, share a label."""

    path: str
    name: str
    split: str
    link: bool


class Walk:
    """Reads folders below one root, each once, and records what it meets, by path relative to the root."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.paths: list[str] = []
        self.numbers = array("q")  # three for each path: index of its class folder, size, mtime_ns
        self.rejects: list[Reject] = []
        self.ignored = 0
        self._read: dict[tuple[int, int], str] = {}
        for folder in [Path(root).resolve(), *Path(root).resolve().parents]:
            status = folder.stat()
            self._read[status.st_dev, status.st_ino] = "a folder that contains it"

    def reject(self, path: str, reason: str) -> None:
        self.rejects.append(Reject(None, path, reason, "scan"))

    def enter(self, path: str) -> bool:
        """Return whether this folder is met for the first time; a second time is a reject."""
        try:
            status = os.stat(os.path.join(self.root, path))  # a DirEntry has no inode numbers on Windows
        except OSError as error:
            self.reject(path, f"unreadable folder: {error.strerror}")
            return False
        first = self._read.setdefault((status.st_dev, status.st_ino), path)
        if first != path:
            self.reject(path, f"leads to a folder that was read already: {first}")
        return first == path

    def entries(self, folder: str) -> Iterator[tuple[str, os.DirEntry[str], os.stat_result]]:
        """Yield path, entry and target's status, by name, of all but the ignored and unreadable."""
        try:
            with os.scandir(os.path.join(self.root, folder)) as listing:
                found = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            self.reject(folder, f"unreadable folder: {error.strerror}")
            return
        prefix = f"{folder}/" if folder else ""
        for entry in found:
            path = prefix + entry.name
            if is_ignored(entry.name):
                self.ignored += 1
                continue
            try:
                status = entry.stat()
            except OSError as error:
                self.reject(
                    path, f"{'broken link' if entry.is_symlink() else 'unreadable'}: {error.strerror}"
                )
                continue
            yield path, entry, status

    def top(self, folder: str) -> list[os.DirEntry[str]]:
        """Return the folders in a folder above the classes; every file there is a reject."""
        folders = []
        for path, entry, status in self.entries(folder):
            if stat.S_ISDIR(status.st_mode):
                folders.append(entry)
            else:
                self.reject(path, "in no class folder")
        return folders

    def read(self, classes: Sequence[ClassFolder]) -> None:
        """Read all class folders and the folders below them."""
        folders: deque[tuple[str, int]] = deque()
        links: deque[tuple[str, int]] = deque()
        # Real folders first, and class folders before all others: a stray link must not take a class away.
        for number, one in sorted(enumerate(classes), key=lambda item: item[1].link):
            if self.enter(one.path):
                folders.append((one.path, number))
        while folders or links:
            if folders:
                folder, number = folders.popleft()
            else:
                folder, number = links.popleft()
                if not self.enter(folder):
                    continue
            for path, entry, status in self.entries(folder):
                if stat.S_ISREG(status.st_mode):
                    self.paths.append(path)
                    self.numbers.extend((number, status.st_size, status.st_mtime_ns))
                elif not stat.S_ISDIR(status.st_mode):
                    self.reject(
                        path, f"not a file but {_KINDS.get(stat.S_IFMT(status.st_mode), 'something else')}"
                    )
                elif entry.is_symlink():
                    links.append((path, number))
                elif self.enter(path):
                    folders.append((path, number))

    def holds_files(self, path: str) -> bool:
        """Tell whether anything that could be a picture, or lead to some, is in a folder at any depth."""
        inner = []
        try:
            with os.scandir(path) as listing:
                for entry in listing:
                    if not is_ignored(entry.name):
                        if not entry.is_dir(follow_symlinks=False):
                            return True
                        inner.append(entry.path)
        except OSError:
            return True  # the walk meets it again and records why
        return any(map(self.holds_files, inner))

    def holds_folders(self, path: str) -> bool:
        """Tell whether a folder holds folders, and beside them nothing but what comes with a data set to be read."""
        try:
            with os.scandir(path) as listing:
                inside = [(entry.is_dir(), entry.name) for entry in listing if not is_ignored(entry.name)]
        except OSError:
            return False  # the walk meets it again and records why
        return any(folder for folder, _ in inside) and all(
            folder or is_paper(name) for folder, name in inside
        )


def is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _CLUTTER


def is_paper(path: str) -> bool:
    """Tell by its name whether a file is what comes with a data set to be read."""
    name = os.path.basename(path).lower()
    return name.endswith(_PAPERS) or name in ("license", "licence", "readme", "copying")
