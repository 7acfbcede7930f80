"""A shard: one sealed, immutable HDF5 file with rows of one space.

Rows are read, not mapped: of a file that is cut short or cannot be read, a read tells, and a map kills the process.
"""

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.storage.columns.halves import widen
from cache.storage.files import status_of, write_file
from cache.storage.hdf5 import UNREADABLE, image, open_raw
from cache.storage.intact import identity, is_intact
from cache.storage.keys import KEY_BYTES, as_items, unique
from cache.storage.remote.mirror import Mirror, mirror_of
from cache.storage.remote.ranges import RangeFile

FORMAT = 1
SHARD_ROWS = 65_536
_BLOCK = 4_096  # rows copied at a time, so that sorting them needs no second copy of all
_SPAN = 2**20  # bytes read at a time: they are still near the processor when they are widened
_FAR_SPAN = 4 * 2**20  # the same from a store of objects
_TOGETHER = 16  # of these at once
_GAP = 65_536  # bytes that nobody asked for and that cost less than another call


class DamagedShard(Exception):
    """The file is not a whole shard of the expected space."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(why)
        self.path = path


def seal(
    folder: Path, space_id: str, keys: NDArray[np.uint8], rows: NDArray[Any], *, stamp: str | None = None
) -> Path:
    """Write rows as one new shard; it becomes visible complete or not at all.

    Parameters
    ----------
    folder : Path
        The `shards/` folder; must exist.
    space_id : str
        Id of the space the rows belong to.
    keys : (n, 32) uint8, n >= 1
        In any order; of a repeated key the first row is kept.
    rows : (n, ...) float32 or float16
        Stored as they are. Peak memory is about twice their size on top of them.
    stamp : str, optional
        First part of the name, which orders shards by age; now, when not given.

    Returns
    -------
    Path
        `<stamp>-<rand>-<first 16 hex digits of the SHA-256 of the file>.h5`, read-only.

    Raises
    ------
    UserError
        When the file cannot be written; nothing is left behind then.
    """
    if len(keys) == 0 or len(keys) != len(rows) or rows.ndim < 2 or rows.dtype not in ("f4", "f2"):
        raise ValueError(
            f"Expected (n, ...) float32 or float16 rows for n >= 1 keys, received {len(keys)} keys and "
            f"rows {rows.shape} {rows.dtype}"
        )
    items, first, _ = unique(as_items(keys))
    shape, dtype = (len(items), *rows.shape[1:]), rows.dtype.newbyteorder("<")

    def fill(file: h5py.File) -> None:
        file.attrs["format"] = np.int64(FORMAT)
        file.attrs["space"] = np.bytes_(space_id.encode("ascii"))  # fixed length: nothing in a shard varies
        file.attrs["rows"] = np.int64(len(items))
        embedding = file.create_dataset("embedding", shape, dtype, track_times=False)
        for start in range(0, len(items), _BLOCK):
            embedding[start : start + _BLOCK] = rows[first[start : start + _BLOCK]]
        key = items.view(np.uint8).reshape(-1, KEY_BYTES)
        file.create_dataset("key", data=key, track_times=False)

    data = image(fill, len(items) * (KEY_BYTES + rows[0].nbytes))
    stamp = stamp or stamp_after("")
    path = folder / f"{stamp}-{os.urandom(4).hex()}-{hashlib.sha256(data).hexdigest()[:16]}.h5"
    write_file(path, data, mode=0o444)
    return path


class Shard:
    """One sealed file. Opening reads its header only, never its rows, and computes no hash.

    Parameters
    ----------
    path : Path
    space_id : str
        The space it must belong to.

    Attributes
    ----------
    shape : tuple of int
        Of one row.
    dtype : numpy dtype, float32 or float16
    identity : Identity
        Of the file that was opened.

    Raises
    ------
    FileNotFoundError
        When it is gone, for instance merged into another by `gc`.
    DamagedShard
        When the file is cut short, is not HDF5, or is not a shard of this space.
    UserError
        When a newer coldframe wrote it, or the system refuses to open it.
    """

    def __init__(self, path: Path, space_id: str) -> None:
        self.path = path
        with open_raw(path) as raw:
            far = raw.raw if isinstance(raw.raw, RangeFile) else None
            if far:
                far.for_hdf5()
            stat = status_of(path, raw)
            self.identity = identity(stat)
            try:
                with h5py.File(raw, "r") as file:
                    self._read_header(file, stat.st_size, space_id)
            except UNREADABLE as error:
                if not (far and far.failure):
                    raise self._damage(f"not a whole HDF5 file with /embedding and /key: {error}") from error
            if far and far.failure:
                raise far.failure

    def _read_header(self, file: h5py.File, size: int, space_id: str) -> None:
        form = int(file.attrs["format"])
        if form > FORMAT and is_intact(self.path):  # a flipped bit here is damage, not the future
            raise UserError(
                f"Expected shard format {FORMAT}, received {form} in {self.path}: a newer coldframe "
                "wrote it. Update this one."
            )
        if file.attrs["space"] != space_id.encode("ascii"):
            raise self._damage(f"expected space {space_id}, received {file.attrs['space']!r}")
        self._count = int(file.attrs["rows"])
        key, embedding = self._plain(file, "key"), self._plain(file, "embedding")
        self.shape: tuple[int, ...] = embedding.shape[1:]
        self.dtype: np.dtype[Any] = embedding.dtype
        if (
            form != FORMAT
            or self._count < 1
            or key.shape != (self._count, KEY_BYTES)
            or key.dtype != np.uint8
            or embedding.shape[:1] != (self._count,)
            or embedding.ndim < 2
            or self.dtype not in (np.dtype("<f4"), np.dtype("<f2"))
        ):
            raise self._damage(
                f"expected {self._count} rows, received /key {key.shape} {key.dtype} and "
                f"/embedding {embedding.shape} {embedding.dtype}"
            )
        self._key_at, self._rows_at = key.id.get_offset(), embedding.id.get_offset()
        end = max(self._key_at + key.nbytes, self._rows_at + embedding.nbytes)
        if end > size:
            raise self._damage(f"expected at least {end} bytes, received {size}: the file is cut short")

    def _plain(self, file: h5py.File, name: str) -> h5py.Dataset:
        """Return a data set whose bytes lie in this very file in one piece, so that offsets can be trusted."""
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise self._damage(f"/{name} is a link")
        found = file[name]
        if (
            not isinstance(found, h5py.Dataset)
            or found.chunks
            or found.external
            or found.id.get_offset() is None
        ):
            raise self._damage(f"/{name} is not one contiguous array")
        return found

    def _damage(self, why: str) -> DamagedShard:
        return DamagedShard(self.path, why)

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Size of the file when it was opened."""
        return self.identity[2]

    @property
    def stamp(self) -> str:
        """First part of the file's name; shards sort by it, by age."""
        return self.path.name.split("-", 1)[0]

    @cached_property
    def keys(self) -> NDArray[np.bytes_]:
        """(n,) 'S32', ascending; read when first asked for, and kept."""
        keys = np.empty(self._count, f"S{KEY_BYTES}")
        with open_raw(self.path) as file:
            self._fill(keys, file, self._key_at)
        return keys

    def take(self, rows: NDArray[np.integer], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read the rows at these places.

        Parameters
        ----------
        rows : (k,) int
            Ascending; repeats allowed.
        out : (k, ...) of the stored dtype or float32, optional
            Filled and returned.

        Returns
        -------
        (k, ...) float32 or float16

        Raises
        ------
        FileNotFoundError
            When the file was merged into another meanwhile.
        DamagedShard
            When it has been cut short, or the disk cannot give the bytes back.
        """
        if out is None:
            out = np.empty((len(rows), *self.shape), self.dtype)
        if not len(rows):
            return out
        mirror = mirror_of(self.path)
        apart = np.diff(rows) > max(1, _GAP // self.row_bytes)
        full = np.diff(rows // max(1, (_FAR_SPAN if mirror else _SPAN) // self.row_bytes)) > 0
        groups = np.split(np.arange(len(rows)), np.flatnonzero(apart | full) + 1)
        firsts = [int(rows[places[0]]) for places in groups]
        counts = [int(rows[places[-1]]) - first + 1 for places, first in zip(groups, firsts, strict=True)]
        if mirror:
            if mirror.copy_for(self.path, sum(counts) * self.row_bytes, len(counts)) and not is_intact(
                self.path
            ):
                raise self._damage("its bytes do not have the hash in its name")
            spans = self._asked_for(mirror, firsts, counts)
        else:
            spans = self._read(firsts, counts)
        for places, first, span in zip(groups, firsts, spans, strict=True):
            widen(span[rows[places] - first], out[places[0] : places[-1] + 1])
        return out

    def _read(self, firsts: list[int], counts: list[int]) -> Iterator[NDArray[Any]]:
        """Read some rows from each of these places on."""
        with open_raw(self.path) as file:
            for first, count in zip(firsts, counts, strict=True):
                span = np.empty((count, *self.shape), self.dtype)
                self._fill(span, file, self._rows_at + first * self.row_bytes)
                yield span

    def _asked_for(self, mirror: Mirror, firsts: list[int], counts: list[int]) -> Iterator[NDArray[Any]]:
        """Read the same from a store of objects, many at once; from the copy where there is one."""
        if mirror.copied(self.path):
            yield from self._read(firsts, counts)
            return
        for some in (slice(start, start + _TOGETHER) for start in range(0, len(firsts), _TOGETHER)):
            starts = [self._rows_at + first * self.row_bytes for first in firsts[some]]
            ends = [start + count * self.row_bytes for start, count in zip(starts, counts[some], strict=True)]
            for part, count in zip(mirror.ranges(self.path, starts, ends), counts[some], strict=True):
                yield np.frombuffer(part, self.dtype).reshape(count, *self.shape)

    def fault(self) -> str | None:
        """Read all of the file and say what is wrong with it, None where nothing is.

        Raises FileNotFoundError when it is gone.
        """
        if not is_intact(self.path):
            return "its bytes do not have the hash in its name"
        if not (self.keys[1:] > self.keys[:-1]).all():
            return "its keys are not in ascending order, or repeat"
        block = max(1, _SPAN // self.row_bytes)
        for start in range(0, len(self), block):
            rows = self.take(np.arange(start, min(start + block, len(self))))
            if bad := int((~np.isfinite(rows).reshape(len(rows), -1).all(axis=1)).sum()):
                return f"it has NaN or infinity in {bad} of the rows {start:,} to {start + len(rows) - 1:,}"
        return None

    def _fill(self, array: NDArray[Any], file: BufferedReader, offset: int) -> None:
        """Read an array from the bytes of the file."""
        try:
            file.seek(offset)
            got = file.readinto(array.view(np.uint8).reshape(-1).data)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._damage(f"its bytes cannot be read ({error.strerror})") from error
        if got < array.nbytes:
            raise self._damage("it was cut short after it had been opened")

    @property
    def row_bytes(self) -> int:
        """Stored size of one row."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


def stamp_after(newest: str) -> str:
    """Return a stamp for what is sealed now: the time in UTC, and later than `newest` whatever the clock says."""
    form = "%Y%m%dT%H%M%S%f"
    stamp = datetime.now(UTC).strftime(form)
    if stamp > newest:
        return stamp
    try:
        return (datetime.strptime(newest, form) + timedelta(microseconds=1)).strftime(form)
    except (ValueError, OverflowError):  # no time, but it sorts last
        return newest + "0"
