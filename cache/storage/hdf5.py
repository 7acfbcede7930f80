"""HDF5 files as bytes in memory. HDF5 is not crash-safe, so no visible file is ever opened for writing."""

import errno
import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.storage.columns.texts import Texts
from cache.storage.files import open_regular, status_of, write_file

# The oldest format: any HDF5 tool opens it, and nothing in it depends on the moment of writing.
LIBVER = ("earliest", "v108")
# What h5py raises at bytes it cannot make sense of.
UNREADABLE = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError)


def open_raw(path: Path) -> BufferedReader:
    """Open a file for h5py to read, so that what goes wrong later is the fault of its content.

    Raises
    ------
    FileNotFoundError
    UserError
        When the system refuses: no permission, too many open files.
    """
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        few = error.errno in (errno.EMFILE, errno.ENFILE)
        advice = "Allow more with `ulimit -n 1024`" if few else "Make it readable"
        raise UserError(f"Expected to read {path}, but: {error.strerror}. {advice} and run again.") from error


def image(fill: Callable[[h5py.File], None], nbytes: int) -> bytes:
    """Build an HDF5 file in memory and return its bytes: equal content gives equal bytes.

    Parameters
    ----------
    fill : callable
        Receives the open file and creates its data sets and attributes.
    nbytes : int
        About how large the file becomes, so that its buffer grows once and not hundreds of times.
    """
    with h5py.File(
        f"image {os.urandom(8).hex()}",  # a label, never a file; two threads must not share one
        "w",
        driver="core",
        backing_store=False,
        block_size=max(65_536, nbytes + 16_384),
        libver=LIBVER,
        alignment_threshold=32,  # arrays start at multiples of 64 bytes: a memory map then reads them aligned
        alignment_interval=64,
    ) as file:
        fill(file)
        file.flush()
        return file.id.get_file_image()


class Arrays(NamedTuple):
    """What a file of named arrays holds; `sealed` tells that it has the SHA-256 it was written with."""

    named: dict[str, NDArray[Any]]
    sealed: bool


def write_arrays(path: Path, form: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write one HDF5 file of named C-contiguous arrays, sealed with a SHA-256 over them, in a single step."""

    def fill(file: h5py.File) -> None:
        file.attrs["format"] = np.int64(form)
        file.attrs["sha256"] = np.bytes_(_digest(arrays))
        for name, array in arrays.items():
            file.create_dataset(name, data=array, track_times=False)

    write_file(path, image(fill, sum(array.nbytes for array in arrays.values())))


def read_arrays(path: Path, newest: int, advice: str, only: Collection[str] = ()) -> Arrays:
    """Read what `write_arrays` wrote in format `newest` or an older one, which may be without a seal.

    Of the arrays `only` some, if any are named: the seal, which is over all, is not compared then.

    Raises
    ------
    FileNotFoundError
    UserError
        When the system refuses to open it, or a newer coldframe wrote it: `advice` is what to do if this one stays.
    One of UNREADABLE
        When it is no such file, declares more than it holds, or has another content than it was sealed with.
    """
    with open_raw(path) as raw, h5py.File(raw, "r") as file:
        size, form = status_of(path, raw).st_size, int(file.attrs["format"])
        if form > newest:
            raise UserError(
                f"Expected format {newest}, received {form} in {path}: a newer coldframe wrote it. Update "
                f"this one, or else: {advice}"
            )
        for name in file:
            own = isinstance(file.get(name, getlink=True), h5py.HardLink)
            found = file[name] if own else None
            if (
                not isinstance(found, h5py.Dataset)
                or found.external
                or found.is_virtual
                or found.dtype.kind not in "biuf"  # texts, references or objects could hold anything
                or found.nbytes > size
            ):
                raise ValueError(f"{name} is no array of numbers of this file's own")
        named = {name: file[name][()] for name in only or file}
        seal = file.attrs.get("sha256")
    if seal is not None and not only and seal != _digest(named):
        raise ValueError("its content does not have the SHA-256 it was written with")
    return Arrays(named, seal is not None)


def pack(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Concatenate n texts: bytes (m,) uint8 and offsets (n + 1,) int64, those of `Texts`."""
    column = Texts.of(texts)
    return column.blob, column.offset


def unpack(blob: NDArray[np.uint8], offset: NDArray[np.int64]) -> list[str]:
    """Split what `pack` concatenated."""
    return list(Texts(blob, offset))


def _digest(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """SHA-256 in hex over all arrays: a flipped bit in one would otherwise go unnoticed."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape} {arrays[name].dtype.str}\n".encode())
        digest.update(arrays[name].data)
    return digest.hexdigest().encode("ascii")
