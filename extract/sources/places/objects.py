"""Pictures in a store of objects: an address -> the bytes, some of them on their way before they are asked for."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache

from cache.storage.remote.objects import Changed, Object, Objects
from extract.sources.places.kinds import Opened

AHEAD = 64  # objects on their way, or waiting to be opened
AHEAD_BYTES = 64 * 2**20
_TASKS = 32  # requests at once
WHOLE = 2 * 2**20  # bytes of an object that is read in one piece; of a larger one as much as is asked for
_CHANGED = "it became another object while it was read; run the same command again"

Wanted = Iterator[tuple[str, int]]  # addresses, and bytes


@contextmanager
def open_object(address: str) -> Iterator[Opened]:
    """Open what lies at an address, as `open_at` does.

    Raises
    ------
    OSError
        If it is not there, is denied, or changed more than once while it was read.
    UserError
        If the store does not answer: no other object could be read either.
    """
    coming = _ahead.take(address)
    yield coming.result() if coming else _read(address)


def send_for(addresses: Iterable[str], sizes: Iterable[int]) -> Wanted:
    """Read objects before they are opened, which happens in about this order; sizes in bytes."""
    both = zip(addresses, sizes, strict=True)
    wanted = ((address, int(size)) for address, size in both if size <= WHOLE)
    _ahead.add(wanted)
    return wanted


def send_no_more(wanted: Wanted) -> None:
    """Take back what `send_for` was told, as far as it was not opened."""
    _ahead.drop(wanted)


def status_of_object(address: str) -> tuple[int, int] | None:
    """Bytes and version of what lies at an address; None where nothing does."""
    objects, path = _split(address)
    try:
        found = objects.head(path)
    except OSError:
        return None
    return found.size, found.version


class _Ahead:
    """Objects that are read in threads of their own: always a few more than were opened."""

    def __init__(self) -> None:
        self._waiting: deque[Wanted] = deque()
        self._coming: dict[str, tuple[Future[Opened], int]] = {}
        self._bytes = 0
        self._pool = ThreadPoolExecutor(_TASKS, thread_name_prefix="object")
        self._guard = threading.Lock()

    def add(self, wanted: Wanted) -> None:
        """Want these, too, after all others."""
        with self._guard:
            self._waiting.append(wanted)
            self._send()

    def drop(self, wanted: Wanted) -> None:
        """Want these no more; with nothing wanted, what is on its way is let go."""
        with self._guard:
            if wanted in self._waiting:
                self._waiting.remove(wanted)
            if not self._waiting:
                for future, _ in self._coming.values():
                    future.cancel()
                self._coming, self._bytes = {}, 0

    def take(self, address: str) -> Future[Opened] | None:
        """Return an object that is on its way, and send for others; None for one that is not."""
        with self._guard:
            future, size = self._coming.pop(address, (None, 0))
            self._bytes -= size
            self._send()
            return future

    def _send(self) -> None:
        while self._waiting and len(self._coming) < AHEAD and self._bytes < AHEAD_BYTES:
            address, size = next(self._waiting[0], ("", 0))
            if not address:
                self._waiting.popleft()
            elif address not in self._coming:  # a picture that is listed twice is read again
                self._coming[address] = self._pool.submit(_read, address), size
                self._bytes += size


def _read(address: str) -> Opened:
    objects, path = _split(address)
    with suppress(Changed):
        return _whole(objects, path)
    with suppress(Changed):  # in the moment of an upload; not twice
        return _whole(objects, path)
    raise OSError(0, _CHANGED)


def _whole(objects: Objects, path: str) -> Opened:
    data, found = objects.get(path, most=WHOLE)
    file = _Streamed(objects, found) if data is None else io.BytesIO(data)
    return Opened(file, found.size, found.version)


class _Streamed:
    """A large object, of which no more is read than is asked for."""

    def __init__(self, objects: Objects, found: Object) -> None:
        self._objects, self._found = objects, found
        self.seek(0)

    def seek(self, offset: int, /) -> int:
        """Begin again: `offset` is 0."""
        self._chunks, self._rest = self._objects.stream(self._found), memoryview(b"")
        return offset

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes, none at the end."""
        try:
            self._rest = self._rest or memoryview(next(self._chunks, b""))
        except Changed as error:
            raise OSError(0, _CHANGED) from error
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)


@cache
def _bucket(top: str) -> Objects:
    return Objects(top)


def _split(address: str) -> tuple[Objects, str]:
    scheme, _, place = address.partition("://")
    bucket, _, path = place.partition("/")
    return _bucket(f"{scheme}://{bucket}"), path


_ahead = _Ahead()
