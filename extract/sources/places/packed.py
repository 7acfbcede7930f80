"""A picture inside a file: its address goes on behind the name of a tar or of a Parquet file."""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from extract.sources.places import parquet, tar
from extract.sources.places.kinds import Opened, Pack

KINDS: dict[str, Callable[[str], Pack]] = {
    ".tar": tar.open_tar,
    ".parquet": parquet.open_parquet,
    ".pq": parquet.open_parquet,
}
_MOST = 32  # files whose list of members is kept, and that stay open
_LOCK = threading.Lock()
_open: OrderedDict[tuple[str, int, int], Pack] = OrderedDict()


def split(address: str) -> tuple[str, str] | None:
    """Split an address into the file that holds the picture and the name in there; None where there is no such file."""
    parts = address.replace(os.sep, "/").split("/")
    for count in range(1, len(parts)):
        if os.path.splitext(parts[count - 1])[1].lower() in KINDS:
            file = "/".join(parts[:count])
            if os.path.isfile(file):
                return file, "/".join(parts[count:])
    return None


def stamp(status: os.stat_result) -> int:
    """The time of change of what is packed in a file, nanoseconds: the file's own.

    The last three digits say how long the file is, so that one with other content and the same time is told, too.
    """
    return status.st_mtime_ns - status.st_mtime_ns % 1000 + status.st_size % 1000


@contextmanager
def open_packed(file: str, member: str) -> Iterator[Opened]:
    """Open a picture in a file; OSError as by `open_at`."""
    pack, changed = _pack(file)
    data, size = pack.open(member)
    yield Opened(data, size, changed)


def size_packed(file: str, member: str) -> int | None:
    """Bytes of a picture in a file, as far as that is known without reading it; None where there is none."""
    try:
        return _pack(file)[0].size(member)
    except OSError:
        return None


def _pack(file: str) -> tuple[Pack, int]:
    status = os.stat(file)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "not a regular file")
    key = file, status.st_size, status.st_mtime_ns
    with _LOCK:
        if key not in _open:
            _open[key] = KINDS[os.path.splitext(file)[1].lower()](file)
            while len(_open) > _MOST:
                _open.popitem(last=False)
        _open.move_to_end(key)
        return _open[key], stamp(status)
