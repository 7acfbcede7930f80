"""Folders of pictures in a store of objects, as `Walk` reads those of a disk; a listing tells all."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cache.errors import UserError
from cache.storage.rejects import Reject
from cache.storage.remote.objects import Object, Objects
from extract.sources.walk import ClassFolder, is_ignored, is_paper


@dataclass(frozen=True)
class Entry:
    """A folder, by its path below the address."""

    name: str
    path: str

    def is_symlink(self) -> bool:
        return False


@dataclass
class _Inside:
    folders: set[str] = field(default_factory=set)
    files: list[Object] = field(default_factory=list)


class Listing:
    """What `Walk` is for a disk; the version of an object stands for its time of change."""

    def __init__(self, address: str) -> None:
        self.root = address
        self.paths: list[str] = []
        self.numbers = array("q")  # three for each path: index of its class folder, size, version
        self.rejects: list[Reject] = []
        self.ignored = 0
        self._inside: dict[str, _Inside] = {"": _Inside()}
        for found in Objects(address).list():
            folder = found.path.rpartition("/")[0]
            self._folder(folder).files.append(found)
        if not self._inside[""].files and not self._inside[""].folders:
            raise UserError(
                f"Expected a folder of pictures at {address}, received nothing: no object's name begins so. Check the "
                "address."
            )

    def _folder(self, path: str) -> _Inside:
        if path not in self._inside:
            self._inside[path] = _Inside()
            parent, _, name = path.rpartition("/")
            self._folder(parent).folders.add(name)
        return self._inside[path]

    def _files(self, folder: str) -> Iterator[tuple[str, Object]]:
        """Yield files and their names; an empty object with the name of a folder only marks that one."""
        for found in sorted(self._inside[folder].files, key=lambda found: found.path):
            if found.size or found.path not in self._inside:
                yield found.path.rpartition("/")[2], found

    def _folders(self, folder: str) -> Iterator[Entry]:
        prefix = f"{folder}/" if folder else ""
        for name in sorted(self._inside[folder].folders):
            yield Entry(name, prefix + name)

    def enter(self, path: str) -> bool:
        """Return whether there is such a folder; no link leads to one twice."""
        return path in self._inside

    def top(self, folder: str) -> list[Entry]:
        """Return the folders in a folder above the classes; every file there is a reject."""
        for name, found in self._files(folder):
            if is_ignored(name):
                self.ignored += 1
            else:
                self.rejects.append(Reject(None, found.path, "in no class folder", "scan"))
        folders = list(self._folders(folder))
        self.ignored += sum(is_ignored(each.name) for each in folders)
        return [each for each in folders if not is_ignored(each.name)]

    def read(self, classes: Sequence[ClassFolder]) -> None:
        """Read all class folders and the folders below them."""
        waiting = [(one.path, number) for number, one in enumerate(classes)]
        while waiting:
            folder, number = waiting.pop()
            for name, found in self._files(folder):
                if is_ignored(name):
                    self.ignored += 1
                else:
                    self.paths.append(found.path)
                    self.numbers.extend((number, found.size, found.version))
            for each in self._folders(folder):
                if is_ignored(each.name):
                    self.ignored += 1
                else:
                    waiting.append((each.path, number))

    def holds_files(self, path: str) -> bool:
        """Tell whether anything that could be a picture is in a folder at any depth."""
        if any(not is_ignored(name) for name, _ in self._files(path)):
            return True
        return any(self.holds_files(each.path) for each in self._folders(path) if not is_ignored(each.name))

    def holds_folders(self, path: str) -> bool:
        """Tell whether a folder holds folders, and beside them nothing but what comes with a data set to be read."""
        files = [name for name, _ in self._files(path) if not is_ignored(name)]
        folders = [each for each in self._folders(path) if not is_ignored(each.name)]
        return bool(folders) and all(map(is_paper, files))
