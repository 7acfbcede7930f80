"""Samples that are listed one by one -> a scan: what tables, Parquet files and WebDataset's tars have in common."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cache.manifest import SPLITS, Manifest
from cache.storage.rejects import Reject
from extract.sources.scan import SPLIT_NAMES, Scan, class_notes, shown

UNKNOWN = -1  # bytes of a picture that only reading tells
_PART = re.compile(rf"({'|'.join(SPLIT_NAMES)})(?![a-z]).*")


@dataclass
class Samples:
    """Columns of as many values as there are samples."""

    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)  # empty for none
    splits: list[str] = field(default_factory=list)  # train, val, test or empty
    stats: list[tuple[int, int]] = field(default_factory=list)  # bytes and time of change
    columns: dict[str, list[str]] = field(default_factory=dict)

    def scan(
        self, root: str, table: str, rejects: list[Reject], notes: Sequence[str] = (), ignored: int = 0
    ) -> Scan:
        """Make the manifest. `table` is the name in `root` of what lists the samples, empty for `root` itself."""
        classes = tuple(sorted(set(self.labels) - {""}))
        code = {name: number for number, name in enumerate(classes)} | {"": -1}
        size, mtime_ns = np.array(self.stats, np.int64).reshape(-1, 2).T.copy()
        manifest = Manifest(
            root,
            classes,
            self.paths,
            np.array([code[label] for label in self.labels], np.int32),
            np.array([SPLITS.index(split) for split in self.splits], np.uint8),
            np.zeros((len(self.paths), 32), np.uint8),
            size,
            mtime_ns,
            self.columns,
            table,
        )
        said = [*notes, *self._notes(manifest), *class_notes(manifest)]
        return Scan(manifest, ignored, rejects, said)

    def _notes(self, manifest: Manifest) -> list[str]:
        notes = []
        if missing := int((manifest.label < 0).sum()):
            notes.append(f"{missing:,} rows have no label")
        splits = [SPLITS[code] for code in np.unique(manifest.split)]
        if splits == ["train"]:
            notes.append("the column split is 'train' in every row: it divides nothing")
        elif not {"", "train"} & set(splits):
            listed = " or ".join(map(repr, splits))
            notes.append(f"the column split is {listed} in every row: no row is left for training")
        if self.columns:
            notes.append(f"further columns, kept with the pictures: {shown(list(self.columns))}")
        return notes


def parts_of(files: Sequence[str]) -> list[str]:
    """The part that each of several files is, by its name or its folder's: all empty where that divides nothing.

    Parameters
    ----------
    files : sequence of str
        Relative paths with '/', such as data/train-00000-of-00002.parquet or test/0.tar.
    """
    found = []
    for file in files:
        names = [match[1] for name in reversed(file.lower().split("/")) if (match := _PART.fullmatch(name))]
        found.append(SPLIT_NAMES[names[0]] if names else "")
    return found if len(set(found)) > 1 and "train" in found else [""] * len(files)
