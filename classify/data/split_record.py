"""Which part each picture was given before: the record that keeps splits stable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import h5py
import numpy as np

from cache.errors import UserError
from cache.manifest import TRAIN
from cache.storage.files import make_folder, write_file
from cache.storage.hdf5 import UNREADABLE, image
from cache.storage.keys import KEY_BYTES, as_items, match, unique

FORMAT = 1


@dataclass(frozen=True)
class Assignments:
    """Parts given to keys: `key` (m, 32) uint8, ascending, and `part` (m,) uint8, TRAIN, VAL or TEST."""

    key: np.ndarray
    part: np.ndarray

    def save(self, path: Path) -> None:
        """Write the record, replacing an older one."""

        def fill(file: h5py.File) -> None:
            file.attrs["format"] = FORMAT
            file["key"], file["part"] = self.key, self.part

        make_folder(path.parent)
        write_file(path, image(fill, self.key.nbytes + self.part.nbytes))

    @staticmethod
    def path(
        root: Path, dataset: str, seed: int, test_size: float, group_by: str = "", val_size: float = 0.0
    ) -> Path:
        """Name the record of a data set in the workspace folder `root`.

        A column to group by has a record of its own: pictures divided without regard to it lie on both sides
        of nearly every group, and "test wins" would leave little to train on.
        """
        names = [quote(name, safe="", errors="surrogateescape") for name in (dataset, group_by) if name]
        sizes = f"{test_size}+{val_size}" if val_size else f"{test_size}"  # no quoted name has a plus sign
        return root / "splits" / f"{names[0]}-{seed}-{sizes}{''.join(f'-{n}' for n in names[1:])}.h5"

    @classmethod
    def load(cls, path: Path) -> Assignments | None:
        """Read a record; None when there is none yet."""
        if not path.exists():
            return None
        try:
            with h5py.File(path, "r") as file:
                version, key, part = int(file.attrs["format"]), file["key"][:], file["part"][:]
        except UNREADABLE as error:
            raise UserError(
                f"Expected a record of train and test parts in {path}, received a damaged file ({error}). "
                "Delete it to split anew; figures are then not comparable with earlier runs."
            ) from error
        if version > FORMAT:
            raise UserError(
                f"Expected format {FORMAT} or older in {path}, received {version}. Update coldframe."
            )
        return cls(key, part)


def recorded_parts(items: np.ndarray, previous: Assignments | None) -> np.ndarray:
    """The part that each distinct picture, (u,), was given before; 0 for none."""
    part = np.zeros(len(items), np.uint8)
    if previous is not None:
        mine, theirs = match(items, as_items(previous.key))
        part[mine] = previous.part[theirs]
    return part


def reserve(previous: Assignments | None, key: np.ndarray) -> Assignments:
    """Add pictures, (n, 32) uint8 keys, to a record as training ones: no later split tests them."""
    return merged(as_items(key), np.full(len(key), TRAIN, np.uint8), previous)


def merged(items: np.ndarray, part: np.ndarray, previous: Assignments | None) -> Assignments:
    """Add the parts to the record. Absent pictures stay in it: one that comes back keeps its part."""
    if previous is not None:
        items = np.concatenate([items, as_items(previous.key)])
        part = np.concatenate([part, previous.part])
    distinct, first, _ = unique(items)  # the first of equals is the current part
    return Assignments(distinct.view(np.uint8).reshape(-1, KEY_BYTES), part[first])
