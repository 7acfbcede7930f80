"""What a scan found: samples, what is no sample and why, and what a person should know before training."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cache.manifest import SPLITS, Manifest
from cache.storage.rejects import Reject

SPLIT_NAMES = {  # of folders, and in the column split of a table
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class Scan:
    """What was found: samples, rejects and ignored ones are all that was seen, read folders aside."""

    manifest: Manifest
    ignored: int  # names that start with a dot, and clutter such as Thumbs.db; an ignored folder counts once
    rejects: list[Reject]  # paths that are no samples, with the reason; decoder is "scan"
    notes: list[str]  # what a person should know before training; printable, one line each
    before: Manifest | None = None  # of the last time, where it is a data set's that was extracted


def class_notes(manifest: Manifest, folders: Iterable[str] = ()) -> list[str]:
    """Say what makes these classes hard to train on; `folders` are the names that could have become classes."""
    notes = []
    names = np.array(manifest.classes, object)
    labelled = manifest.label >= 0
    label, train = manifest.label[labelled], manifest.split[labelled] == SPLITS.index("train")
    counts = np.bincount(label, minlength=len(names))
    training = np.bincount(label[train], minlength=len(names))
    if len(names) == 1:
        hint = "" if manifest.table else (". If the classes are folders inside it, name that folder instead")
        notes.append(f"only one class, {names[0]!r}: there is nothing to tell apart{hint}")
    for what, which in (
        ("without any file, left out", sorted(set(folders) - set(names))),
        ("with a single file", names[counts == 1].tolist()),
        ("without files for training", names[training == 0].tolist() if manifest.split.any() else []),
    ):
        if which:
            notes.append(f"{len(which)} {'class' if len(which) == 1 else 'classes'} {what}: {shown(which)}")
    return notes


def shown(names: list[str]) -> str:
    """Quote the first five names."""
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
