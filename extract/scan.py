"""A folder of pictures -> the manifest of its samples, with a record of everything that is not one."""

import hashlib
import os
import stat
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from cache.reject import Reject

_SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
_SPLIT_NAMES |= {"dev": "val", "test": "test", "testing": "test"}
_CLUTTER = frozenset(
    {"thumbs.db", "desktop.ini", "__macosx"}
)  # what systems leave behind without being asked
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_ROWS_PER_TASK = 512  # enough files that handing them to a thread costs nothing beside reading them


@dataclass(frozen=True)
class Scan:
    """What was found: len(manifest) + len(rejects) + ignored is all that was seen, read folders aside."""

    manifest: Manifest
    ignored: int  # names that start with a dot, and clutter such as Thumbs.db; an ignored folder counts once
    rejects: list[Reject]  # paths that are no samples, with the reason; decoder is "scan"
    notes: list[str]  # what a person should know before training; printable, one line each


@dataclass(frozen=True)
class _Class:
    """One folder whose files, and those of all folders below it, share a label."""

    path: str
    name: str
    split: str
    link: bool


def scan(source: Path, previous: Sequence[Manifest] = ()) -> Scan:
    """List the samples in a folder of class folders, without opening any file.

    The class is the name of the first folder below the root; deeper folders belong to it. Where all folders
    of the root are called train, val or test (or training, valid, validation, dev, testing, in any case),
    and there are two of them or one for training, they give the split and the class is the next level. A
    root that holds one folder, which holds only folders, is an unpacked archive: classes are read from there.

    Links are followed. Every folder is read once however many links lead to it, real folders first; so links
    cannot loop. Only regular files are samples, whatever their suffix.

    Parameters
    ----------
    source : Path
        The root.
    previous : sequence of Manifest
        Earlier scans of this root (or of one that is gone: it may have been moved here). A file whose
        relative path, size and time of last change agree with one of them gets its key without being read.

    Returns
    -------
    found : Scan
        Its manifest is in the order of the paths, with all-zero keys where a file must be read.

    Raises
    ------
    UserError
        If `source` is no folder, or holds no class folders with files.
    """
    root = os.path.abspath(source)
    if not os.path.isdir(root):
        received = "a file" if os.path.exists(root) else "nothing"
        raise UserError(f"Expected a folder of pictures, received {received} at {root!r}. Check the path.")
    walk = _Walk(root)
    classes, notes = _classes(walk)
    walk.read(classes)
    if not walk.paths:
        raise UserError(
            f"Expected pictures in the class folders of {root!r}, received {len(classes)} folders without "
            f"files ({len(walk.rejects)} unreadable or no files, {walk.ignored} ignored). Put each class's "
            "pictures into its folder, or check the path."
        )
    manifest = _manifest(walk, classes)
    for old in previous:
        _carry_keys(old, manifest)
    return Scan(manifest, walk.ignored, walk.rejects, notes + _notes(manifest, {one.name for one in classes}))


def hash_missing(manifest: Manifest, workers: int) -> list[Reject]:
    """Read the files that have no key yet and fill in their keys, in place.

    Parameters
    ----------
    manifest : Manifest
    workers : int
        Threads; more than cores where the disk is slow or far away.

    Returns
    -------
    rejects : list of Reject
        Files that could not be read, in manifest order; their keys stay zero.
    """
    rows = np.flatnonzero(~manifest.hashed).tolist()
    tasks = [rows[start : start + _ROWS_PER_TASK] for start in range(0, len(rows), _ROWS_PER_TASK)]
    with ThreadPoolExecutor(workers) as pool:
        done = pool.map(lambda task: _hash_rows(manifest, task), tasks)
        return [reject for rejects in done for reject in rejects]


def _hash_rows(manifest: Manifest, rows: list[int]) -> list[Reject]:
    rejects = []
    for row in rows:
        path = manifest.paths[row]
        digest = hashlib.sha256()
        # One read for a picture of the expected size, and one that finds the end; bounded for any other file.
        block = min(int(manifest.size[row]) + 1, 1 << 20)
        try:
            with open(os.path.join(manifest.root, path), "rb", buffering=0, opener=_open_at_once) as file:
                while data := file.read(block):
                    digest.update(data)
        except OSError as error:
            rejects.append(Reject(None, path, f"unreadable: {error.strerror}", "scan"))
            continue
        manifest.key[row] = np.frombuffer(digest.digest(), np.uint8)
    return rejects


def _open_at_once(path: str, flags: int) -> int:
    return os.open(
        path, flags | getattr(os, "O_NONBLOCK", 0)
    )  # never waits for a pipe that took the file's place


class _Walk:
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
            if _is_ignored(entry.name):
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

    def read(self, classes: Sequence[_Class]) -> None:
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


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _CLUTTER


def _classes(walk: _Walk) -> tuple[list[_Class], list[str]]:
    """Find the class folders, and say so where they are not simply the folders of the root."""
    top, notes = "", []
    folders = walk.top(top)
    while (
        len(folders) == 1 and not walk.rejects and not _are_splits(folders) and _only_folders(folders[0].path)
    ):
        inside = f"{top}/{folders[0].name}" if top else folders[0].name
        if not walk.enter(inside):
            break
        top, folders = inside, walk.top(inside)
        notes.append(f"the only folder, {top!r}, holds only folders: the classes are read from there")
    prefix = f"{top}/" if top else ""
    if _are_splits(folders):
        classes = []
        for folder in folders:
            path, split = prefix + folder.name, _SPLIT_NAMES[folder.name.lower()]
            if walk.enter(path):
                classes += [_Class(f"{path}/{e.name}", e.name, split, e.is_symlink()) for e in walk.top(path)]
    else:
        classes = [_Class(prefix + e.name, e.name, "", e.is_symlink()) for e in folders]
    if not classes:
        received = f"an empty one ({walk.ignored} names ignored)"
        if walk.rejects:
            first = walk.rejects[0]
            received = f"{len(walk.rejects)} other entries, the first {first.path!r} ({first.reason})"
        where = os.path.join(walk.root, top) if top else walk.root
        raise UserError(
            f"Expected a folder for each class in {where!r}, received {received}. Make class folders and "
            "move the pictures there; for pictures without labels use `predict`."
        )
    return classes, notes


def _are_splits(folders: Sequence[os.DirEntry[str]]) -> bool:
    splits = [_SPLIT_NAMES.get(folder.name.lower()) for folder in folders]
    return None not in splits and (len(splits) > 1 or "train" in splits)


def _only_folders(path: str) -> bool:
    try:
        with os.scandir(path) as listing:
            inside = [entry.is_dir() for entry in listing if not _is_ignored(entry.name)]
    except OSError:
        return False  # the walk meets it again and records why
    return bool(inside) and all(inside)


def _manifest(walk: _Walk, classes: Sequence[_Class]) -> Manifest:
    numbers = np.frombuffer(walk.numbers, np.int64).reshape(-1, 3)
    order = sorted(range(len(walk.paths)), key=walk.paths.__getitem__)
    number, size, mtime_ns = numbers[order].T.copy()
    used = [classes[i] for i in np.unique(number)]
    names = tuple(sorted({one.name for one in used}))
    # A class whose folders hold no file gets no label: nothing could be learnt for it.
    label = np.array([names.index(one.name) if one.name in names else -1 for one in classes], np.int32)
    split = np.array([SPLITS.index(one.split) for one in classes], np.uint8)
    key = np.zeros((len(order), 32), np.uint8)
    paths = [walk.paths[i] for i in order]
    return Manifest(walk.root, names, paths, label[number], split[number], key, size, mtime_ns)


def _carry_keys(old: Manifest, new: Manifest) -> None:
    """Copy the keys of files that are unchanged since an earlier scan."""
    # Names, sizes and times alone tell too little across data sets: archives often set all times alike.
    if old.root != new.root and os.path.exists(old.root) and not os.path.samefile(old.root, new.root):
        return
    here: NDArray[np.intp] | slice = slice(None)
    there: NDArray[np.intp] | slice = slice(None)
    if old.paths != new.paths:
        row_of = dict(zip(old.paths, range(len(old)), strict=True))
        found = np.fromiter((row_of.get(path, -1) for path in new.paths), np.intp, len(new))
        here = np.flatnonzero(found >= 0)
        there = found[here]
    same = (old.size[there] == new.size[here]) & (old.mtime_ns[there] == new.mtime_ns[here])
    same &= ~new.key[here].any(axis=1)
    new.key[here] = np.where(same[:, None], old.key[there], new.key[here])


def _notes(manifest: Manifest, folders: Iterable[str]) -> list[str]:
    """Say what a person should know before training on these classes."""
    notes = []
    names = np.array(manifest.classes, object)
    counts = np.bincount(manifest.label, minlength=len(names))
    training = np.bincount(manifest.label[manifest.split == SPLITS.index("train")], minlength=len(names))
    if len(names) == 1:
        notes.append(
            f"only one class, {names[0]!r}: there is nothing to tell apart. If the classes are folders "
            "inside it, name that folder instead"
        )
    for what, which in (
        ("without any file, left out", sorted(set(folders) - set(names))),
        ("with a single file", names[counts == 1].tolist()),
        ("without files for training", names[training == 0].tolist() if manifest.split.any() else []),
    ):
        if which:
            shown = ", ".join(map(repr, which[:5])) + (", ..." if len(which) > 5 else "")
            notes.append(f"{len(which)} {'class' if len(which) == 1 else 'classes'} {what}: {shown}")
    return notes
