"""The runner: files in, sealed rows out. It is handed a reader and branches, and knows none by name."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product, takewhile
from queue import SimpleQueue
from typing import Protocol

import numpy as np

from cache.storage.rejects import Reject
from extract.embedding.reading import Read, Reader

CHUNK = 16  # files a thread reads before it embeds: decoder and network drive each other out of the processor's caches
SEAL_SECONDS = 10.0
SEAL_ROWS = 65_536
SEAL_BYTES = 256 * 2**20


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
    engine: str = ""  # by which, where others than this process embedded


@dataclass(frozen=True)
class Branch:
    """Where the pictures of one space go once they are read.

    engine : starts the engine; not called unless there is a picture to embed
    writer : keeps rows and rejects
    outcome : filled in as the run goes on, so that an interrupted run still tells what it did
    dtype : of the rows that the writer gets
    """

    engine: Callable[[], Embedder]
    writer: Writer
    outcome: Outcome
    dtype: str = "float32"


def run(
    indices: Iterable[int],
    reader: Reader,
    branches: Sequence[Branch],
    *,
    workers: int,
    on_progress: Callable[[int, int], None] = lambda done, rejected: None,
) -> None:
    """Read files, embed what has no row yet, and seal each branch's rows every 10 s or 65,536 rows.

    Parameters
    ----------
    indices : iterable of int
        Files, by position; handed to `reader` in small groups.
    reader : Reader
    branches : sequence of Branch
        In the order in which a `Read` numbers them.
    workers : int
        Threads. Each reads and decodes some files, and embeds them in one branch after the other, so that a picture
        is never handed over; where an engine takes batches, the thread that completes one embeds it.
    on_progress : callable
        Called with the number of files done and rejected since the last call.

    Notes
    -----
    Engines are started, rows sealed and progress told by the calling thread. Whatever ends the run - Ctrl-C
    included - what was embedded by then is sealed first.
    """
    news: SimpleQueue[_News] = SimpleQueue()
    lanes = [_Lane(branch, news) for branch in branches]
    chunks, choosing, over = _chunks(indices, CHUNK), threading.Lock(), threading.Event()

    def work() -> None:
        try:
            while not over.is_set():
                with choosing:
                    chunk = next(chunks, None)
                if chunk is None:
                    break
                reads = list(takewhile(lambda _: not over.is_set(), reader(chunk)))
                for (number, lane), read in product(enumerate(lanes), reads):
                    if over.is_set():
                        break
                    if number in read.pixels:
                        lane.embed(read.key, read.pixels.pop(number))
                    if lane is lanes[-1]:
                        news.put(read)
            news.put(None)
        except BaseException as error:
            news.put(error)

    def keep(new: "_News") -> None:
        match new:
            case _Rows():
                new.lane.add(new)
            case Read():
                for number, reject in new.rejects.items():
                    lanes[number].reject(reject)

    def rescue() -> None:
        while not news.empty():
            keep(news.get())

    with ExitStack() as ending:
        for lane in lanes:
            ending.callback(lane.seal)
        ending.callback(rescue)
        for number in range(workers):
            thread = threading.Thread(target=work, name=f"embed {number}")
            thread.start()
            ending.callback(thread.join)
        for lane in lanes:
            ending.callback(lane.stop)
        ending.callback(over.set)
        while workers:
            match new := news.get():
                case None:
                    workers -= 1
                case BaseException():
                    raise new
                case _Lane():
                    new.start()
                case Read():
                    on_progress(1, bool(new.rejects))
            keep(new)
            for lane in lanes:
                lane.seal_if_due()
        for lane in lanes:
            lane.finish()


@dataclass(frozen=True)
class _Rows:
    """A batch that was embedded."""

    lane: "_Lane"
    keys: list[bytes]
    rows: np.ndarray


class _Lane:
    """A branch at work: pictures become batches, and batches rows, which it holds until they are due."""

    def __init__(self, branch: Branch, news: SimpleQueue) -> None:
        self._branch, self._news = branch, news
        self._engine: Future[Embedder] = Future()
        self._asked, self._adding, self._turns = False, threading.Lock(), threading.Semaphore(0)
        self._batch: list[tuple[bytes, np.ndarray]] = []
        self._keys: list[bytes] = []
        self._rows: list[np.ndarray] = []
        self._bytes = 0
        self._rejects: list[Reject] = []
        self._last = time.monotonic()

    # ---- in the threads that read

    def embed(self, key: bytes, pixels: np.ndarray) -> None:
        """Add a picture to the batch, and embed it where that completes it."""
        with self._adding:
            if not self._asked:
                self._asked = True
                self._news.put(self)
            engine = self._engine.result()
            self._batch.append((key, pixels))
            if len(self._batch) < engine.batch_size:
                return
            self._turns.acquire()  # and whoever comes next waits: no more batches in memory than are embedded
            batch, self._batch = self._batch, []
        try:
            self._news.put(self._embedded(batch))
        finally:
            self._turns.release()

    def _embedded(self, batch: list[tuple[bytes, np.ndarray]]) -> _Rows:
        rows = self._engine.result().embed(np.stack([pixels for _, pixels in batch]))
        with np.errstate(over="ignore"):  # the writer refuses what is not finite
            return _Rows(self, [key for key, _ in batch], rows.astype(self._branch.dtype, copy=False))

    # ---- in the thread that runs

    def start(self) -> None:
        """Start the engine, for which the others wait."""
        engine = self._branch.engine()
        self._turns.release(engine.lanes)
        self._engine.set_result(engine)

    def stop(self) -> None:
        """Have nobody wait for an engine that will not start."""
        self._engine.cancel()

    def finish(self) -> None:
        """Embed the last pictures, which are no full batch."""
        if self._batch:
            self.add(self._embedded(self._batch))

    def add(self, done: _Rows) -> None:
        """Hold rows until they are due."""
        self._keys += done.keys
        self._rows.append(done.rows)
        self._bytes += done.rows.nbytes

    def reject(self, reject: Reject) -> None:
        """Hold a reject until it is due."""
        self._rejects.append(reject)

    def seal_if_due(self) -> None:
        """Seal where there is much, or the last time is long ago."""
        full = len(self._keys) >= SEAL_ROWS or self._bytes >= SEAL_BYTES
        if full or time.monotonic() - self._last >= SEAL_SECONDS:
            self.seal()

    def seal(self) -> None:
        """Hand what is held to the writer."""
        if self._keys or self._rejects:
            keys = np.frombuffer(b"".join(self._keys), np.uint8).reshape(-1, 32)
            rows = np.concatenate(self._rows) if self._rows else np.empty((0, 0), np.float32)
            self._branch.writer(keys, rows, self._rejects)
            self._branch.outcome.embedded += len(keys)
            self._branch.outcome.rejects += self._rejects
            self._keys, self._rows, self._rejects, self._bytes = [], [], [], 0
        self._last = time.monotonic()


_News = (
    _Lane | _Rows | Read | BaseException | None
)  # an engine is wanted, rows, a file is done, the end of a thread


def _chunks(indices: Iterable[int], size: int) -> Iterator[list[int]]:
    chunk: list[int] = []
    for index in indices:
        chunk.append(index)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
