"""HDF5 files as bytes in memory. HDF5 is not crash-safe, so no visible file is ever opened for writing."""

import errno
import os
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

import h5py

from cache.errors import UserError

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
        return path.open("rb")
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
