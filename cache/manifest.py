"""A manifest: the table of a data set's samples, and a stat cache that saves reading files again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.frame import TEXT
from cache.storage.columns.texts import Texts
from cache.storage.hdf5 import UNREADABLE, pack, read_arrays, write_arrays
from cache.storage.keys import KEY_BYTES, as_items, unique
from cache.storage.remote.address import address_of

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
SPLITS = ("", "train", "val", "test")
_COLUMNS = {"label": "<i4", "split": "u1", "key": "u1", "size": "<i8", "mtime_ns": "<i8"}
_TEXTS = ("root", "classes", "path")  # each stored as one blob of bytes and n + 1 offsets into it
_ADVICE = "Delete it and run extract again: files are hashed again, no embedding is computed again."

TRAIN, VAL, TEST = (SPLITS.index(name) for name in ("train", "val", "test"))


@dataclass(eq=False)
class Manifest:
    """The samples of one data set, n of them, in a fixed order."""

    root: str  # absolute folder, or the source the paths are relative to
    classes: tuple[str, ...]  # name of each label
    paths: Sequence[str]  # n, relative to root with '/'; kept as `Texts`, whatever they are given as
    label: NDArray[np.int32]  # (n,) index into classes, -1 for none
    split: NDArray[np.uint8]  # (n,) index into SPLITS
    key: NDArray[np.uint8]  # (n, 32) image keys, all zero while not hashed
    size: NDArray[np.int64]  # (n,) bytes
    mtime_ns: NDArray[np.int64]  # (n,) time of last change, nanoseconds since 1970; of an object its version
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)  # what else a table says: n texts each
    table: str = ""  # name of the table in root that lists the samples; empty when root itself was read

    def __post_init__(self) -> None:
        self.paths = Texts.of(self.paths)
        self.columns = {name: Texts.of(texts) for name, texts in self.columns.items()}

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def hashed(self) -> NDArray[np.bool_]:
        """(n,) bool, True where the key is known."""
        return np.asarray(self.key.any(axis=1))

    def select(self, rows: NDArray[Any]) -> Manifest:
        """Return the samples at these rows: (n,) bool mask, or indices in any order."""
        rows = np.arange(len(self))[rows]
        return Manifest(
            root=self.root,
            classes=self.classes,
            paths=Texts.of(self.paths).take(rows),
            **{name: getattr(self, name)[rows] for name in _COLUMNS},
            columns={name: Texts.of(texts).take(rows) for name, texts in self.columns.items()},
            table=self.table,
        )

    def counts(self) -> dict[str, int]:
        """How many samples each class has; those without a label count nowhere."""
        found = np.bincount(self.label[self.label >= 0], minlength=len(self.classes))
        return dict(zip(self.classes, found.tolist(), strict=True))

    @property
    def trainable(self) -> bool:
        """Whether there is anything to tell apart: samples of two classes."""
        return sum(count > 0 for count in self.counts().values()) > 1

    def conflicts(self) -> NDArray[np.bool_]:
        """(n,) bool, True where the same picture occurs under more than one label (none is not a label)."""
        known = np.flatnonzero(self.hashed & (self.label >= 0))
        label = self.label[known]
        distinct, _, inverse = unique(as_items(self.key[known]))
        low = np.full(len(distinct), len(self.classes), np.int32)
        high = np.full(len(distinct), -1, np.int32)
        np.minimum.at(low, inverse, label)
        np.maximum.at(high, inverse, label)
        found = np.zeros(len(self), bool)
        found[known] = (low < high)[inverse]
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return the n samples as a DataFrame, in their order.

        Columns: `path` (object: text), `label` (category of the class names; NaN for none), `split` (category of train,
        val and test; NaN for none), `key` (object: 64 hex digits, all zero while not hashed), `size` (int64, bytes),
        `mtime` (datetime64[ns, UTC], last change; NaT for objects in a store), and the table's further ones (object:
        text, empty for none). One that is named `size` or `mtime` itself is called `size_` or `mtime_`.
        """
        import pandas as pd

        def categories(codes: NDArray[Any], names: Sequence[str]) -> pd.Categorical:
            return pd.Categorical.from_codes(codes, pd.Index(list(names), dtype=TEXT))

        times = self.mtime_ns.view("M8[ns]")
        if address_of(self.root):  # versions of objects
            times = np.full(len(self), "NaT", "M8[ns]")
        columns: dict[str, Any] = {
            "path": pd.Series(list(self.paths), dtype=TEXT),
            "label": categories(self.label, self.classes),
            "split": categories(self.split.astype(int) - 1, SPLITS[1:]),
            "key": pd.Series([key.tobytes().hex() for key in self.key], dtype=TEXT),
            "size": self.size,
            "mtime": pd.DatetimeIndex(times, tz="UTC"),
        }
        for name, texts in self.columns.items():
            while name in columns:
                name += "_"
            columns[name] = pd.Series(list(texts), dtype=TEXT)
        return pd.DataFrame(columns)

    def save(self, path: Path) -> None:
        """Write the manifest as one HDF5 file, replacing an older one in a single step."""
        arrays = {name: np.ascontiguousarray(getattr(self, name), kind) for name, kind in _COLUMNS.items()}
        for name, texts in zip(_TEXTS, ([self.root], self.classes, self.paths), strict=True):
            arrays[f"{name}_bytes"], arrays[f"{name}_offset"] = pack(texts)
        # Only where there are any: what an older coldframe knows stays exactly as it was. A column's name may
        # be any text, "a/b" too, so it is stored as text and not as the name of a data set in HDF5.
        if self.table:
            arrays["table_bytes"], arrays["table_offset"] = pack([self.table])
        if self.columns:
            arrays["columns_bytes"], arrays["columns_offset"] = pack(list(self.columns))
        for number, texts in enumerate(self.columns.values()):
            arrays[f"column{number}_bytes"], arrays[f"column{number}_offset"] = pack(texts)

        write_arrays(path, FORMAT, arrays)

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a manifest.

        Raises
        ------
        UserError
            When the file is missing or damaged, or a newer coldframe wrote it.
        """
        try:
            arrays, sealed = read_arrays(path, FORMAT, _ADVICE)
            if not sealed:
                raise ValueError("it has no SHA-256 of its content")

            def texts(name: str) -> Texts:
                return Texts(arrays[f"{name}_bytes"], arrays[f"{name}_offset"])

            root, classes, paths = (texts(name) for name in _TEXTS)
            names = texts("columns") if "columns_bytes" in arrays else ()
            extra = {name: texts(f"column{number}") for number, name in enumerate(names)}
            table = texts("table")[0] if "table_bytes" in arrays else ""
            columns = {name: arrays[name].astype(kind, copy=False) for name, kind in _COLUMNS.items()}
            shapes = [column.shape for column in columns.values()]
            n = (len(paths),)
            if shapes != [n, n, (*n, KEY_BYTES), n, n]:
                raise ValueError(f"{n[0]} paths with columns {shapes}")
            if wrong := [name for name, values in extra.items() if len(values) != len(paths)]:
                raise ValueError(f"{n[0]} paths with another number of values in {wrong}")
            return cls(root[0], tuple(classes), paths, **columns, columns=extra, table=table)
        except UNREADABLE as error:
            raise _damaged(path, error) from error


@dataclass(frozen=True)
class Outline:
    """What is said of a manifest at the top."""

    root: str
    classes: int  # how many
    pictures: int

    @classmethod
    def load(cls, path: Path) -> Outline:
        """Read it without the paths and keys, which may be gigabytes.

        Raises
        ------
        UserError
            As `Manifest.load`, but damage elsewhere in the file is not noticed.
        """
        try:
            named = read_arrays(
                path, FORMAT, _ADVICE, ("root_bytes", "root_offset", "classes_offset", "split")
            ).named
            root = Texts(named["root_bytes"], named["root_offset"])[0]
            return cls(root, len(named["classes_offset"]) - 1, len(named["split"]))
        except UNREADABLE as error:
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"Expected a manifest in {path}, but: {error}. {_ADVICE}")
