"""The pipeline of a worker, fed block by block: what it reads is noted, for the driver to hear."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from cache.storage.keys import KEY_BYTES
from cache.storage.rejects import Reject
from extract.embedding.cluster.messages import Block, News
from extract.embedding.extractor import Extractor
from extract.embedding.file_reader import FileReader
from extract.embedding.reading import Read
from extract.embedding.runner import CHUNK, Outcome, run
from extract.sources.places.place import soon

AHEAD = 2 * CHUNK  # files of each thread that wait in a worker: it never waits for the driver
_MOST = 2**20  # files of a block


class Feed:
    """A run in threads of its own that goes on until it is closed, and seals as any run does.

    Parameters
    ----------
    extractors : sequence of Extractor
    threads : int
    """

    def __init__(self, extractors: Sequence[Extractor], threads: int) -> None:
        sides = [each.sides(Outcome()) for each in extractors]
        self._takers, self._branches = [taker for taker, _ in sides], [branch for _, branch in sides]
        self._threads, self._most = threads, AHEAD * threads
        self._files: SimpleQueue[int | None] = SimpleQueue()
        self._blocks: dict[int, tuple[Block, FileReader]] = {}
        self._left: dict[int, int] = {}
        self._given, self._waiting, self._closed = 0, 0, False
        self._lock, self.heard, self.ended = threading.Lock(), threading.Event(), threading.Event()
        self._noted: list[tuple[Any, ...]] = []
        self._rejects: list[tuple[int, int, Reject]] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def put(self, block: Block) -> None:
        """Add files; their manifest is copied, for what comes from elsewhere is read-only."""
        count = len(block.rows)
        block = Block(block.manifest.select(np.arange(count)), block.rows)
        soon(block.manifest.root, block.manifest.paths, block.manifest.size)
        with self._lock:
            number, self._given = self._given, self._given + 1
            self._blocks[number] = block, FileReader(block.manifest, self._takers)
            self._left[number] = count
            self._waiting += count
        for index in range(number * _MOST, number * _MOST + count):
            self._files.put(index)

    def close(self, at_once: bool = False) -> None:
        """Let it end when all is done, or after the files that it has begun."""
        self._closed = True
        while at_once:
            try:
                self._files.get_nowait()
            except Empty:
                break
        self._files.put(None)

    def news(self, notes: list[str]) -> News:
        """Tell what was read since the last time; raises what ended the run."""
        idle = self.ended.is_set()  # before the rest is taken: nothing is noted afterwards
        with self._lock:
            noted, self._noted = self._noted, []
            rejects, self._rejects = self._rejects, []
            room = 0 if self._closed and not idle else self._most - self._waiting
        if self._error is not None:
            raise self._error
        return as_news(noted, rejects, notes, room, idle)

    def _run(self) -> None:
        try:
            run(iter(self._files.get, None), self._read, self._branches, workers=self._threads)
        except BaseException as error:
            self._error = error
        self.ended.set()
        self.heard.set()

    def _read(self, indices: Sequence[int]) -> Iterator[Read]:
        for number, group in groupby(indices, lambda index: index // _MOST):
            block, reader = self._blocks[number]
            for read in reader([index % _MOST for index in group]):
                self._note(number, block, read)
                yield read

    def _note(self, number: int, block: Block, read: Read) -> None:
        manifest, at = block.manifest, read.index
        row = int(block.rows[at])
        with self._lock:
            self._noted.append((row, read.key or bytes(KEY_BYTES), manifest.size[at], manifest.mtime_ns[at]))
            self._rejects += [(row, task, reject) for task, reject in read.rejects.items()]
            self._waiting -= 1
            self._left[number] -= 1
            if not self._left[number]:
                del self._left[number], self._blocks[number]
            if self._waiting <= self._most // 2:
                self.heard.set()


def as_news(
    noted: Sequence[tuple[Any, ...]],
    rejects: list[tuple[int, int, Reject]],
    notes: list[str],
    room: int,
    idle: bool,
) -> News:
    """Put what was noted of files, one by one, into arrays."""
    rows, key, size, mtime_ns = zip(*noted, strict=True) if noted else ((), (), (), ())
    return News(
        rows=np.array(rows, np.int64),
        key=np.frombuffer(b"".join(key), np.uint8).reshape(-1, KEY_BYTES),
        size=np.array(size, np.int64),
        mtime_ns=np.array(mtime_ns, np.int64),
        rejects=rejects,
        notes=notes,
        room=room,
        idle=idle,
    )
