"""A folder or a table of pictures -> the manifest of its samples, with a record of what is not one."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from extract.sources.folder import find_classes
from extract.sources.scan import Scan, class_notes
from extract.sources.table import is_table, read_table
from extract.sources.walk import ClassFolder, Walk


def scan(source: Path, previous: Sequence[Manifest] = ()) -> Scan:
    """List the samples in a folder of class folders, or in a table (see `read_table`), without opening any.

    In a folder, the class is the name of the first folder below the root; deeper folders belong to it. Where
    all folders of the root are called train, val or test (or training, valid, validation, dev, testing, in
    any case), and there are two of them or one for training, they give the split and the class is the next
    level. A root that holds one folder, which holds folders (and licences or notes, but no picture), is an
    unpacked archive: classes are read from there.

    Links are followed. Every folder is read once however many links lead to it, real folders first; so links
    cannot loop. Only regular files are samples, whatever their suffix.

    Parameters
    ----------
    source : Path
        The folder, or a .csv, .tsv or .parquet file.
    previous : sequence of Manifest
        Earlier scans of this root (or of one that is gone: it may have been moved here). A file whose
        relative path, size and time of last change agree with one of them gets its key without being read.

    Returns
    -------
    found : Scan
        Its manifest is in the order of the paths, or of the table, with all-zero keys where a file must be read.

    Raises
    ------
    UserError
        If `source` is no folder and no table, or holds no class folders with files.
    """
    found = read_table(source) if is_table(source) else _read_folder(source)
    for old in previous:
        _carry_keys(old, found.manifest)
    return found


def default_name(source: Path) -> str:
    """Name the data set after its folder, or after the table without its suffix."""
    return source.stem if is_table(source) else source.resolve().name


def _read_folder(source: Path) -> Scan:
    root = os.path.abspath(source)
    if not os.path.isdir(root):
        received = "a file" if os.path.exists(root) else "nothing"
        raise UserError(
            f"Expected a folder of pictures, received {received} at {root!r}. Check the path. Tables (.csv, .tsv, "
            ".parquet), archives (.zip, .tar, .tar.gz and so on) and tfds:NAME will do as well."
        )
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
    notes += class_notes(manifest, {one.name for one in classes})
    return Scan(manifest, walk.ignored, walk.rejects, notes)


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
