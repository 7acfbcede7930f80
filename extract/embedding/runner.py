"""The runner: files in, sealed rows out. It is handed a reader, an engine and a writer and knows none by name."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np

from cache.storage.rejects import Reject

CHUNK = 8  # files a reading task: few enough to hold their bytes, enough to share one look into the cache
SEAL_SECONDS = 10.0
SEAL_ROWS = 65_536
SEAL_BYTES = 256 * 2**20

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Read:
    """What reading one file gave: pixels to embed, a rejection, or neither when its row exists already."""

    index: int
    key: bytes | None = None
    pixels: np.ndarray | None = None  # (s, s, 3) uint8 RGB
    reject: Reject | None = None


class Reader(Protocol):
    def __call__(self, indices: Sequence[int]) -> list[Read]:
        """Read, hash and decode the files of `indices`; called from several threads at once."""
        ...


class Embedder(Protocol):
    @property
    def batch_size(self) -> int: ...

    @property
    def lanes(self) -> int: ...

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        """(B, s, s, 3) uint8 to (B, ...) float32; called from `lanes` threads at once."""
        ...


class Writer(Protocol):
    def __call__(self, keys: np.ndarray, rows: np.ndarray, rejects: list[Reject]) -> None:
        """Keep (n, 32) uint8 keys with (n, ...) rows, and the rejects; once it returns, they are safe."""
        ...


@dataclass
class Outcome:
    """What a run has sealed so far."""

    embedded: int = 0
    rejects: list[Reject] = field(default_factory=list)


def run(
    indices: Iterable[int],
    reader: Reader,
    engine: Callable[[], Embedder],
    writer: Writer,
    outcome: Outcome,
    *,
    workers: int,
    on_progress: Callable[[int, int], None] = lambda done, rejected: None,
) -> None:
    """Read files, embed what has no row yet, and seal rows every 10 s or 65,536 rows.

    Parameters
    ----------
    indices : iterable of int
        Files, by position; handed to `reader` in small groups.
    reader, writer : Reader, Writer
    engine : callable
        Starts the engine; not called unless there is a picture to embed.
    outcome : Outcome
        Filled in as the run goes on, so that an interrupted run still tells what it did.
    workers : int
        Reading threads.
    on_progress : callable
        Called with the number of files done and rejected since the last call.

    Notes
    -----
    Whatever ends the run - Ctrl-C included - what was embedded by then is sealed first.
    """
    sealer = _Sealer(writer, outcome)
    batch: list[Read] = []
    running: deque[tuple[Future[np.ndarray], list[Read]]] = deque()
    started: Embedder | None = None
    lanes: ThreadPoolExecutor | None = None

    def finish_oldest() -> None:
        future, reads = running.popleft()
        sealer.add(reads, future.result())
        on_progress(len(reads), 0)

    def submit() -> None:
        assert started is not None and lanes is not None
        if len(running) > started.lanes:
            finish_oldest()
        pixels = np.stack([read.pixels for read in batch if read.pixels is not None])
        for read in batch:
            read.pixels = None
        running.append((lanes.submit(started.embed, pixels), batch.copy()))
        batch.clear()

    try:
        with ThreadPoolExecutor(workers, "read") as pool:
            for reads in map_ahead(pool, reader, _chunks(indices, CHUNK), ahead=2 * workers):
                rejected = [read.reject for read in reads if read.reject is not None]
                sealer.reject(rejected)
                fresh = [read for read in reads if read.pixels is not None]
                on_progress(len(reads) - len(fresh), len(rejected))
                for read in fresh:
                    if started is None or lanes is None:
                        started = engine()
                        lanes = ThreadPoolExecutor(started.lanes, "embed")
                    batch.append(read)
                    if len(batch) == started.batch_size:
                        submit()
                while running and running[0][0].done():
                    finish_oldest()
                sealer.seal_if_due()
        if batch:
            submit()
        while running:
            finish_oldest()
    finally:
        if lanes is not None:
            lanes.shutdown(cancel_futures=True)
        sealer.rescue(running)


class _Sealer:
    """Holds rows and rejects until they are due, then hands them to the writer."""

    def __init__(self, writer: Writer, outcome: Outcome) -> None:
        self._writer, self._outcome = writer, outcome
        self._keys: list[bytes] = []
        self._rows: list[np.ndarray] = []
        self._rejects: list[Reject] = []
        self._last = time.monotonic()

    def add(self, reads: list[Read], rows: np.ndarray) -> None:
        self._keys += [read.key for read in reads if read.key is not None]
        self._rows.append(rows)
        self.seal_if_due()

    def reject(self, rejects: list[Reject]) -> None:
        self._rejects += rejects

    def seal_if_due(self) -> None:
        full = len(self._keys) >= SEAL_ROWS or sum(rows.nbytes for rows in self._rows) >= SEAL_BYTES
        if full or time.monotonic() - self._last >= SEAL_SECONDS:
            self.seal()

    def seal(self) -> None:
        if self._keys or self._rejects:
            keys = np.frombuffer(b"".join(self._keys), np.uint8).reshape(-1, 32)
            rows = np.concatenate(self._rows) if self._rows else np.empty((0, 0), np.float32)
            self._writer(keys, rows, self._rejects)
            self._outcome.embedded += len(keys)
            self._outcome.rejects += self._rejects
            self._keys, self._rows, self._rejects = [], [], []
        self._last = time.monotonic()

    def rescue(self, running: Iterable[tuple[Future[np.ndarray], list[Read]]]) -> None:
        """Seal what is finished; batches that failed or never started are simply not counted."""
        for future, reads in running:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._keys += [read.key for read in reads if read.key is not None]
                self._rows.append(future.result())
        self.seal()


class Claims:
    """Keys whose rows are on their way, so that the same picture twice in a run is embedded once.

    Only keys that are not sealed yet are held: the cache answers for the others.
    """

    def __init__(self, contains: Callable[[np.ndarray], np.ndarray]) -> None:
        self._contains = contains
        self._claimed: set[bytes] = set()
        self._lock = threading.Lock()

    def take(self, keys: list[bytes]) -> list[bool]:
        """Claim keys; True where the caller is the one who must compute the row."""
        with self._lock:
            known = self._contains(np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 32))
            answer = []
            for key, cached in zip(keys, known, strict=True):
                answer.append(not cached and key not in self._claimed)
                self._claimed.add(key) if answer[-1] else None
            return answer

    def settle(self, keys: np.ndarray) -> None:
        """Forget claims whose rows are in the cache by now; (n, 32) uint8."""
        with self._lock:
            self._claimed.difference_update(key.tobytes() for key in keys)


def _chunks(indices: Iterable[int], size: int) -> Iterator[list[int]]:
    chunk: list[int] = []
    for index in indices:
        chunk.append(index)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def map_ahead(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], ahead: int
) -> Iterator[R]:
    """Like ``pool.map``, in order, but never more than `ahead` items in front of who takes the results."""
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
