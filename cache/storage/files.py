"""Files that are either absent or complete, whatever happens while they are written."""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

import platformdirs

from cache.errors import UserError

TEMPORARY = ".tmp-"  # a leading dot and no suffix: no listing of shards, manifests or rejects sees it
_CHUNK = 64 * 2**20  # one write call stays short enough for Ctrl-C to be noticed between two
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def user_folder() -> Path:
    """Where networks and models are kept, and which shards were checked (``COLDFRAME_CACHE`` moves it)."""
    return Path(
        os.environ.get("COLDFRAME_CACHE") or platformdirs.user_cache_dir("coldframe", appauthor=False)
    )


def temporary_name(path: Path) -> Path:
    """Return a fresh hidden name in the folder of `path`, so that a rename to `path` is atomic."""
    return path.with_name(TEMPORARY + os.urandom(8).hex())


def write_file(path: Path, data: bytes | memoryview, *, mode: int = 0o644) -> None:
    """Write a whole file so that a reader sees the old state or the new one, and nothing between.

    The bytes go to a hidden name in the same folder and reach the disk (fsync) before the rename makes
    them visible; then the folder is synced, so that the name survives a power cut as well.

    Parameters
    ----------
    path : Path
        Where the file appears; an existing file is replaced. The folder must exist.
    data : bytes or memoryview
        The whole content.
    mode : int
        Permission bits, subject to the umask.

    Raises
    ------
    UserError
        When the disk is full or the folder cannot be written. No temporary file is left behind.
    """
    temporary = temporary_name(path)
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        try:
            rest = memoryview(data).cast("B")
            while rest:
                rest = rest[os.write(handle, rest[:_CHUNK]) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # gone already after the rename
            temporary.unlink()


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading, and nothing else: a pipe or a device in its place would block, or never end.

    Raises
    ------
    OSError
        When the file is not there, is not a regular one, or the system refuses.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(handle, "rb")


def write_error(path: Path, error: OSError) -> UserError:
    """Return the UserError that explains why `path` could not be written."""
    if error.errno in _FULL:
        why = "no space left on the disk, or a quota or file size limit was reached"
        what = "What was written before is kept: free some space and run the same command again."
    elif error.errno in _FORBIDDEN:
        why = "the folder cannot be written to"
        what = "Change its permissions, or choose another place with --workspace."
    else:
        why = error.strerror or str(error)
        what = "What was written before is kept: put this right and run the same command again."
    return UserError(f"Could not write {path}: {why}. {what}")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, durably; an existing folder is left alone."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
    except OSError as error:
        raise write_error(folder, error) from error


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder's or a file's lock among processes; the system lets go of it when a process dies.

    Without `wait` BlockingIOError is raised where another process holds it.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl  # POSIX only

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)
