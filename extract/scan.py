"""A folder of pictures -> the manifest of its samples, with a record of everything that is not one."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from cache.reject import Reject
from extract.layout import find_classes
from extract.walk import ClassFolder, Walk


@dataclass(frozen=True)
class Scan:
    """What was found: len(manifest) + len(rejects) + ignored is all that was seen, read folders aside."""

    manifest: Manifest
    ignored: int  # names that start with a dot, and clutter such as Thumbs.db; an ignored folder counts once
    rejects: list[Reject]  # paths that are no samples, with the reason; decoder is "scan"
    notes: list[str]  # what a person should know before training; printable, one line each


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
    walk = Walk(root)
    classes, notes = find_classes(walk)
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


def _manifest(walk: Walk, classes: Sequence[ClassFolder]) -> Manifest:
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
