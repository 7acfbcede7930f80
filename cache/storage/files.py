"""Files that are either absent or complete, whatever happens while they are written.

A path in the copy of a workspace that lies in a store of objects means the object: see `cache.storage.remote.mirror`.
"""

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
from cache.storage.remote.mirror import Status, mirror_of

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
    if mirror := mirror_of(path):
        mirror.write(path, data)
        return
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
    if mirror := mirror_of(path):
        return mirror.open(path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(handle, "rb")


def status_of(path: Path, file: BufferedReader | None = None) -> os.stat_result | Status:
    """Tell size and times of a file, of one that is open where it is given; FileNotFoundError where there is none."""
    if mirror := mirror_of(path):
        return mirror.status(path)
    return path.stat() if file is None else os.fstat(file.fileno())


def names(folder: Path) -> list[str]:
    """List the files in a folder, in no order, but for hidden ones; empty where there is no folder."""
    if mirror := mirror_of(folder):
        return [name for name in mirror.names(folder) if name[0] != "."]
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.name[0] != "." and entry.is_file()]
    except FileNotFoundError:
        return []


def remove(path: Path) -> None:
    """Delete a file; it may be gone already.

    Raises
    ------
    UserError
        When it cannot be deleted.
    """
    if mirror := mirror_of(path):
        mirror.delete(path)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(path, error) from error


def move(path: Path, target: Path) -> None:
    """Give a file another place in its workspace; OSError or UserError where that cannot be done."""
    make_folder(target.parent)
    if mirror := mirror_of(path):
        mirror.move(path, target)
    else:
        path.rename(target)


def forget(path: Path) -> None:
    """Delete what a store of objects holds at a path and below; nothing to do for a workspace on this machine."""
    if mirror := mirror_of(path):
        mirror.delete(path)


def write_error(path: Path, error: OSError) -> UserError:
    """Return the UserError that explains why `path` could not be written."""
    if error.errno in _FULL:
        why = "no space left on the disk, or a quota or file size limit was reached"
        what = "What was written before is kept: free some space and run the same command again."
    elif error.errno in _FORBIDDEN:
        why = "the folder cannot be written to"
        what = "Change its permissions, or choose another place with --workspace."
    elif error.errno == errno.ENAMETOOLONG:
        why = "the path, or a name in it, is longer than this system allows"
        what = "Choose a shorter one with --workspace or --name."
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
    if os.path.isdir(folder):
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
    except OSError as error:
        raise write_error(folder, error) from error


def begin_folder(folder: Path) -> None:
    """Create a folder that other machines see at once, where the workspace is theirs, too."""
    make_folder(folder)
    if mirror := mirror_of(folder):
        mirror.begin(folder)


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder's or a file's lock among processes; the system lets go of it when a process dies.

    Without `wait` BlockingIOError is raised where another process holds it.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl  # POSIX only

    handle, mirror = os.open(folder, os.O_RDONLY), mirror_of(folder)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        with mirror.lock(folder) if mirror else contextlib.nullcontext():
            yield
    finally:
        os.close(handle)
