"""Which part each picture was given before: the record that keeps splits stable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from cache.errors import UserError
from cache.manifest import TEST, TRAIN, VAL
from cache.storage.files import make_folder
from cache.storage.hdf5 import UNREADABLE, read_arrays, write_arrays
from cache.storage.keys import KEY_BYTES, as_items, match, unique

FORMAT = 1


@dataclass(frozen=True)
class Assignments:
    """Parts given to keys: `key` (m, 32) uint8, ascending, and `part` (m,) uint8, TRAIN, VAL or TEST.

    `sealed` is False where some of it was read from a file without a hash of its content, as older versions wrote.
    """

    key: np.ndarray
    part: np.ndarray
    sealed: bool = True

    @property
    def notes(self) -> list[str]:
        """What a person should know, one line each."""
        if self.sealed:
            return []
        return [
            "the record of which pictures train and which are tested is of an older version, without a checksum: its "
            "values are sound, and it gets a checksum now"
        ]

    def save(self, path: Path) -> None:
        """Write the record, replacing an older one."""
        make_folder(path.parent)
        key, part = (np.ascontiguousarray(array, np.uint8) for array in (self.key, self.part))
        write_arrays(path, FORMAT, {"key": key, "part": part})

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
        """Read a record; None when there is none yet.

        Raises
        ------
        UserError
            When it is damaged, or a newer coldframe wrote it.
        """
        lost = "what was tested before may then train, and figures are not comparable with those of earlier runs."
        advice = f"Restore the file from a copy; or delete it, and the pictures are divided anew: {lost}"
        try:
            arrays, sealed = read_arrays(path, FORMAT, advice)
            found = cls(arrays["key"], arrays["part"], sealed)
            found._check()
            return found
        except FileNotFoundError:
            return None
        except UNREADABLE as error:
            raise UserError(
                f"Expected the record of which pictures train and which are tested in {path}, but it is damaged: "
                f"{error}. {advice}"
            ) from error

    def _check(self) -> None:
        """ValueError for what `merged` never makes: a part unknown to it would be neither trained nor tested."""
        if self.part.shape != (len(self.key),) or self.part.dtype != np.uint8:
            raise ValueError(f"parts {self.part.shape} {self.part.dtype} for {len(self.key)} pictures")
        items = as_items(self.key)
        if not (items[1:] > items[:-1]).all():
            raise ValueError("its pictures are not in order, or occur twice")
        if not np.isin(self.part, (TRAIN, VAL, TEST)).all():
            raise ValueError(f"a part that is not one of {TRAIN}, {VAL} and {TEST}")


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
    sealed = previous is None or previous.sealed
    if previous is not None:
        items = np.concatenate([items, as_items(previous.key)])
        part = np.concatenate([part, previous.part])
    distinct, first, _ = unique(items)  # the first of equals is the current part
    return Assignments(distinct.view(np.uint8).reshape(-1, KEY_BYTES), part[first], sealed)
