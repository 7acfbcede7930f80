"""The places of pictures, kept beside their space: a picture stays where it was when others are added."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from cache.storage.files import make_folder
from cache.storage.hdf5 import UNREADABLE, read_arrays, write_arrays
from cache.storage.keys import KEY_BYTES, as_items, match, unique

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Positions:
    """Where pictures lie on the map of a data set."""

    key: NDArray[np.uint8]  # (u, 32), ascending, each once
    where: NDArray[np.float64]  # (u, 2)

    @classmethod
    def none(cls) -> Positions:
        """Those of a data set that was never laid out."""
        return cls(np.empty((0, KEY_BYTES), np.uint8), np.empty((0, 2)))

    @classmethod
    def load(cls, path: Path) -> Positions:
        """Read what `save` wrote; none where there is nothing.

        Raises
        ------
        UserError
            When a newer coldframe wrote it.
        ValueError
            When it is damaged.
        """
        try:
            arrays, sealed = read_arrays(path, FORMAT, "delete it: the map is laid out anew.")
            key, where = arrays["key"], arrays["where"]
            if not sealed or key.shape != (len(where), KEY_BYTES) or where.shape != (len(key), 2):
                raise ValueError("its arrays are not those of a map")
        except FileNotFoundError:
            return cls.none()
        except UNREADABLE as error:
            raise ValueError(str(error)) from error
        return cls(key, where)

    def save(self, path: Path) -> None:
        """Write one sealed file in a single step."""
        make_folder(path.parent)
        write_arrays(path, FORMAT, {"key": self.key, "where": self.where})

    def of(self, keys: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Look up (n, 32) distinct keys, ascending: (n, 2), NaN for those that have no place yet."""
        found = np.full((len(keys), 2), np.nan)
        asked, known = match(as_items(keys), as_items(self.key))
        found[asked] = self.where[known]
        return found

    def with_more(self, keys: NDArray[np.uint8], where: NDArray[np.float64]) -> Positions:
        """Add others, or new places for some; those of pictures that are gone stay, lest they come back."""
        key = np.ascontiguousarray(np.concatenate([keys, self.key]))
        _, first, _ = unique(as_items(key))
        return Positions(key[first], np.concatenate([where, self.where])[first])


def path_of(data: Embedded) -> Path:
    """Where the places of a data set are kept: beside its first space, by its name and its spaces."""
    spaces = " ".join(space.id for space in data.spaces)
    name = sha256(f"map {spaces} {data.name}".encode("utf-8", "surrogateescape")).hexdigest()
    return data.store.folder / "maps" / f"{name}.h5"
