"""Copies of objects on this machine's disk. A copy's time of change is the version of the object that it is of."""

import contextlib
import errno
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

from cache.errors import UserError
from cache.storage.remote.objects import Object

LIMIT = "COLDFRAME_COPIES_GB"
_DEFAULT = 10.0  # 10^9 bytes of copies of shards
_FREE = 2**30  # bytes that stay free on the disk


class Copies:
    """Copies below a folder; those of shards are bounded, and the ones not used for longest go first."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def has(self, found: Object) -> bool:
        """Tell whether there is a copy of just this object."""
        try:
            status = os.stat(self._root / found.path)
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (found.size, found.version)

    def write(self, found: Object, data: Any) -> None:
        """Put a copy in its place; UserError where the disk has no room."""
        path = self._root / found.path
        temporary = path.with_name(f".tmp-{os.urandom(8).hex()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            os.utime(temporary, ns=(0, found.version))
            temporary.replace(path)
        except OSError as error:
            raise UserError(
                f"Could not keep a copy of what is in the store in {path}: {error.strerror}. Free some space there, or "
                "set COLDFRAME_CACHE to a folder with more."
            ) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def keep(self, found: Object, data: Any, folder: str) -> bool:
        """Copy a shard if there is room; tells whether it did."""
        if not self.room_for(found, folder):
            return False
        try:
            self.write(found, data)
        except UserError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT):
                warnings.warn(f"{error} Rows are read from the store meanwhile.", stacklevel=2)
                return False
            raise
        return True

    def touch(self, found: Object, now: int) -> None:
        """Note that a copy is used."""
        with contextlib.suppress(OSError):
            os.utime(self._root / found.path, ns=(now, found.version))

    def room_for(self, found: Object, folder: str) -> bool:
        """Make room for a copy among those in folders of a name; False where the limit, or the disk, has none."""
        limit = _limit()
        if found.size > limit:
            return False
        there = []
        for path in self._root.glob(f"*/*/{folder}/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                there.append((status.st_atime_ns, status.st_size, path))
        total = sum(size for _, size, _ in there) + found.size
        for _, size, path in sorted(there):
            if total <= limit:
                break
            path.unlink(missing_ok=True)
            total -= size
        return shutil.disk_usage(self._root).free > found.size + _FREE


def _limit() -> float:
    said = os.environ.get(LIMIT)
    try:
        return (_DEFAULT if said is None else float(said)) * 1e9
    except ValueError as error:
        raise UserError(
            f"Expected in {LIMIT} how many gigabytes of copies to keep of a workspace elsewhere, received {said!r}. "
            "Set a number, or unset it."
        ) from error
