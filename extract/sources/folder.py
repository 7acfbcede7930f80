"""A folder of class folders -> the manifest of its samples; which folders are the classes."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from cache.storage.remote.address import address_of
from extract.sources.places.listing import Entry, Listing
from extract.sources.scan import SPLIT_NAMES, Scan, class_notes, shown
from extract.sources.walk import ClassFolder, Walk, is_paper

Tree = Walk | Listing
Folder = os.DirEntry[str] | Entry


def read_folder(source: Path) -> Scan:
    """List the samples in a folder of class folders, without opening any (see `extract.sources.source.scan`)."""
    if address := address_of(source):
        return _found(Listing(address))
    root = os.path.abspath(source)
    if not os.path.isdir(root):
        received = "a file" if os.path.exists(root) else "nothing"
        raise UserError(
            f"Expected a folder of pictures, received {received} at {root!r}. Check the path. Tables (.csv, .tsv, "
            ".parquet), archives (.zip, .tar, .tar.gz and so on) and tfds:NAME will do as well."
        )
    return _found(Walk(root))


def _found(walk: Tree) -> Scan:
    root = walk.root
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


def _manifest(walk: Tree, classes: Sequence[ClassFolder]) -> Manifest:
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


def find_classes(walk: Tree) -> tuple[list[ClassFolder], list[str]]:
    """Find the class folders: of the root, of its parts or, which a note says, of the only folder in it."""
    top, notes = "", []
    folders: Sequence[Folder] = walk.top(top)
    while (
        len(folders) == 1
        and all(is_paper(reject.path) for reject in walk.rejects)
        and not _are_splits(folders)
        and walk.holds_folders(folders[0].path)
    ):
        inside = f"{top}/{folders[0].name}" if top else folders[0].name
        if not walk.enter(inside):
            break
        top, folders = inside, walk.top(inside)
        notes.append(
            f"the only folder, {top!r}, holds folders and no pictures: the classes are read from there"
        )
    prefix = f"{top}/" if top else ""
    folders, said = _told_apart(walk, folders)
    notes += said
    if _are_splits(folders):
        classes = []
        for folder in folders:
            path, split = prefix + folder.name, SPLIT_NAMES[folder.name.lower()]
            if walk.enter(path):
                classes += [
                    ClassFolder(f"{path}/{e.name}", e.name, split, e.is_symlink()) for e in walk.top(path)
                ]
    else:
        classes = [ClassFolder(prefix + e.name, e.name, "", e.is_symlink()) for e in folders]
    if not classes:
        received = f"an empty one ({walk.ignored} names ignored)"
        if walk.rejects:
            first = walk.rejects[0]
            received = f"{len(walk.rejects)} other entries, the first {first.path!r} ({first.reason})"
        where = f"{walk.root}/{top}" if top else walk.root
        raise UserError(
            f"Expected a folder for each class in {where!r}, received {received}. Make class folders and "
            "move the pictures there; for pictures without labels use `predict`."
        )
    return classes, notes


def _are_splits(folders: Sequence[Folder]) -> bool:
    splits = [SPLIT_NAMES.get(folder.name.lower()) for folder in folders]
    return None not in splits and (len(splits) > 1 or "train" in splits)


def _told_apart(walk: Tree, folders: Sequence[Folder]) -> tuple[Sequence[Folder], list[str]]:
    """Drop empty folders beside parts; refuse parts beside others, and note a single one that counts as a class."""
    parts = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    if not parts or len(parts) == len(folders):
        return folders, []
    empty = [folder for folder in folders if folder not in parts and not walk.holds_files(folder.path)]
    others = [folder.name for folder in folders if folder not in parts and folder not in empty]
    if not others:
        return parts, [f"folders without files, left out: {shown([folder.name for folder in empty])}"]
    if len(parts) == 1:
        return folders, [
            f"the folder {parts[0].name!r} is taken for a class, because {others[0]!r} beside it is no part"
        ]
    raise UserError(
        "Expected all top folders to be parts (train, val, test) or all to be classes, received "
        f"{', '.join(folder.name for folder in parts)} and {shown(others)}. Move {others[0]!r} away, or rename it."
    )
