"""A file whose bytes lie in a store of objects, and come as they are asked for."""

import io
import os
from collections.abc import Callable

_LEAST, _MOST = (
    64 * 2**10,
    8 * 2**20,
)  # bytes of a request: more from one to the next while they follow each other


class RangeFile(io.RawIOBase):
    """An object, read by ranges.

    Parameters
    ----------
    fetch : callable (start, end) -> bytes
    size : int
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        self._fetch, self._size = fetch, size
        self._at = self._start = 0
        self._held = b""  # from `_start` on
        self._step = _LEAST
        self.failure: Exception | None = None  # of a request that was to end in silence
        self._silent = False

    def for_hdf5(self) -> None:
        """Have what fails end the file, and stand in `failure`: HDF5 does not survive an error while it reads."""
        self._silent = True

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        end = self._start + len(self._held)
        if not self._start <= self._at < end:
            self._step = min(_MOST, self._step * 4) if self._at == end else _LEAST
            try:
                self._held = self._fetch(self._at, min(self._size, self._at + max(wanted, self._step)))
            except Exception as error:
                if not self._silent:
                    raise
                # No frame may stay with it: one of HDF5's that outlives the interpreter ends it with a crash.
                self.failure = error.with_traceback(None)
                error.__cause__ = error.__context__ = None
                return 0
            self._start = self._at
        skip = self._at - self._start
        part = self._held[skip : skip + wanted]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)
