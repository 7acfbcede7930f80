"""Rows of a table, one by one -> samples; a row whose picture is not there is a reject."""

import os
import stat
from pathlib import Path

from cache.errors import UserError
from cache.storage.rejects import Reject
from extract.sources.places.place import stat_at
from extract.sources.samples import Samples
from extract.sources.scan import SPLIT_NAMES, Scan
from extract.sources.tables import parquet

KNOWN = ("path", "label", "split", "key")  # `key` is what `manifest --out` writes; files are hashed anyway
SOME = 20  # names by which the folder of pictures is found


class Rows:
    """Gathers the rows of one table.

    Parameters
    ----------
    path : Path
        Of the table, for messages.
    at : dict
        Name of a column -> its position; `path` and `label` are among them.
    suffix : str
        What the paths leave out.
    unnamed : int
        Columns that are left out.
    root : str, optional
        Absolute folder that the paths start from; default: the table's.
    prefix : str
        Below `root`, ends in '/': in front of each relative path.
    table : str, optional
        Path of the table below `root`, empty where that is read as a folder; default: its name.
    """

    def __init__(
        self,
        path: Path,
        at: dict[str, int],
        suffix: str = "",
        unnamed: int = 0,
        *,
        root: str | None = None,
        prefix: str = "",
        table: str | None = None,
    ) -> None:
        self._path, self._root, self._at, self._unnamed = (
            path,
            root or os.path.abspath(path.parent),
            at,
            unnamed,
        )
        self._suffix, self._prefix, self._table = suffix, prefix, path.name if table is None else table
        self._line_of: dict[str, int] = {}
        self._said: dict[str, tuple[str, str]] = {}  # label and split of each path
        self._repeated = 0
        self._rejects: list[Reject] = []
        self._samples = Samples(columns={name: [] for name in at if name not in KNOWN})

    def add(self, values: list[str], line: int) -> None:
        """Take the fields of one row; its file is looked at, not opened."""
        path = values[self._at["path"]]
        if path:
            path = self._clean(os.path.join(self._prefix, path + self._suffix))
        label = values[self._at["label"]].strip()
        split = values[self._at["split"]].strip() if "split" in self._at else ""
        if split.lower() not in SPLIT_NAMES and split:
            known = ", ".join(SPLIT_NAMES)
            raise UserError(
                f"Expected one of {known}, or nothing, in the column split of {self._path}, received {split!r} in "
                f"{place(self._path, line)}."
            )
        said = (label, SPLIT_NAMES.get(split.lower(), ""))
        extra = [values[self._at[name]] for name in self._samples.columns]
        if strange := [text for text in (label, *extra) if odd(text)]:
            raise not_utf8(self._path, f"{strange[0]!r} in line {line}")
        if path and path in self._said:
            if said != self._said[path]:
                raise UserError(
                    f"Expected one label and split for each picture in {self._path}, received {self._said[path]} in "
                    f"{place(self._path, self._line_of[path])} and {said} in {place(self._path, line)} for "
                    f"{path!r}. Remove one of the rows."
                )
            self._repeated += 1
            return
        self._said[path], self._line_of[path] = said, line
        stat = self._stat(path, line)
        if stat is None:
            return
        self._samples.paths.append(path)
        self._samples.labels.append(label)
        self._samples.splits.append(said[1])
        self._samples.stats.append(stat)
        for values_of, text in zip(self._samples.columns.values(), extra, strict=True):
            values_of.append(text)

    def _clean(self, path: str) -> str:
        """Write a path in one way, relative where it lies below the table's folder."""
        parts = path.replace(os.sep, "/").split("/")
        if ".." not in parts:  # behind a link, `link/..` is not where it seems to be
            path = "/".join([parts[0], *(part for part in parts[1:] if part not in ("", "."))])
            path = path.removeprefix("./")
        return path.removeprefix(self._root.replace(os.sep, "/").rstrip("/") + "/")

    def _stat(self, path: str, line: int) -> tuple[int, int] | None:
        """Size and time of the file of a row; None, and a reject, where there is none."""
        address = os.path.join(self._root, path)
        try:
            if not path:
                reason = f"{place(self._path, line)} has no path"
            elif stat.S_ISREG((status := os.stat(address)).st_mode):
                return status.st_size, status.st_mtime_ns
            else:
                reason = "not a file but a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        except ValueError as error:  # a zero byte, or letters that are none
            reason = f"no file has such a name: {error}"
        except OSError as error:
            if packed := stat_at(address):
                return packed
            if odd(path):
                raise not_utf8(self._path, f"{path!r} in line {line}, which no file is named") from error
            reason = f"missing: {error.strerror}"
        self._rejects.append(Reject(None, path, reason, "scan"))
        return None

    def found(self) -> Scan:
        """Make the manifest of what was added."""
        if not self._samples.paths and not self._rejects:
            raise UserError(
                f"Expected rows with pictures in {self._path}, received the names of the columns alone."
            )
        if not self._samples.paths:
            first = (
                f", the first {self._rejects[0].path!r} ({self._rejects[0].reason})" if self._rejects else ""
            )
            raise UserError(
                f"Expected pictures in the rows of {self._path}, received {len(self._rejects)} rows without a "
                f"file{first}. Paths must be absolute, or relative to the table's folder {self._root}."
            )
        notes = []
        if self._repeated:
            notes.append(f"{self._repeated:,} rows repeat the path of another and are left out")
        if self._unnamed:  # pandas writes its row numbers so
            notes.append(f"{self._unnamed:,} columns without a name are left out")
        return self._samples.scan(self._root, self._table, self._rejects, notes)


def place(path: Path, number: int) -> str:
    """What a row of a table is called in messages."""
    return f"row {number}" if path.suffix.lower() in (*parquet.SUFFIXES, ".json") else f"line {number}"


def find_pictures(table: Path, names: list[str]) -> tuple[str, str, str]:
    """Find where the pictures of a table lie that tells their names alone.

    Parameters
    ----------
    table : Path
    names : list of str
        Some of them.

    Returns
    -------
    root, prefix, table : str
        As `Rows` takes them: the table's folder, or the one above it; in it the pictures themselves, or the folder
        `images`, or one that is called as the table is, or as the last word of that (instances_train2017).
    """
    here, stem = os.path.abspath(table.parent), table.stem
    above = os.path.dirname(here)
    inside = f"{os.path.basename(here)}/{table.name}"
    for root, prefixes, name in (
        (here, ("", f"{stem}/", "images/"), table.name),
        (above, ("", f"{stem.rpartition('_')[2]}/", "images/"), inside),
    ):
        for prefix in prefixes:
            if any(stat_at(os.path.join(root, prefix, each)) for each in names):
                return root, prefix, name
    return here, "", table.name


def odd(text: str) -> bool:
    """Tell whether bytes that are not UTF-8 were carried into a text."""
    return not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text)


def not_utf8(path: Path, received: str) -> UserError:
    return UserError(
        f"Expected UTF-8 text in {path}, received {received}. Save the table again as UTF-8 (in a spreadsheet: "
        "'CSV UTF-8')."
    )
