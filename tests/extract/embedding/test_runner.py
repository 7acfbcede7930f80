"""The runner with fakes that count: what is computed, what is sealed, and what an interruption costs."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cache.storage.rejects import Reject
from extract.embedding import runner
from extract.embedding.runner import Claims, Outcome, Read, run


def key(index: int) -> bytes:
    return hashlib.sha256(str(index).encode()).digest()


class FakeReader:
    """Pixels hold the index; every index in `bad` is rejected, every one in `known` has its row already."""

    def __init__(self, bad: set[int] = frozenset(), known: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        self.bad, self.known, self.seen = bad, known, []  # type: ignore[var-annotated]
        self.lock = threading.Lock()

    def __call__(self, indices: Sequence[int]) -> list[Read]:
        with self.lock:
            self.seen += indices
        return [self._read(i) for i in indices]

    def _read(self, i: int) -> Read:
        if i in self.bad:
            return Read(i, key(i), reject=Reject(key(i), str(i), "bad", "fake"))
        return Read(i, key(i), None if i in self.known else np.full((2, 2, 3), i % 251, np.uint8))


class FakeEngine:
    batch_size, lanes = 3, 2

    def __init__(self, fail_at: int | None = None, error: type[BaseException] = RuntimeError) -> None:
        self.calls, self.pictures, self.started = 0, 0, 0
        self.fail_at, self.error = fail_at, error
        self.lock = threading.Lock()

    def start(self) -> "FakeEngine":
        self.started += 1
        return self

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        with self.lock:
            self.calls += 1
            if self.calls == self.fail_at:
                raise self.error("engine")
            self.pictures += len(pixels)
        return pixels[:, 0, 0, :1].astype(np.float32)


class FakeWriter:
    def __init__(self) -> None:
        self.rows: dict[bytes, float] = {}
        self.rejects: list[Reject] = []
        self.seals = 0

    def __call__(self, keys: np.ndarray, rows: np.ndarray, rejects: list[Reject]) -> None:
        self.seals += 1
        self.rows |= {k.tobytes(): float(row[0]) for k, row in zip(keys, rows, strict=True)}
        self.rejects += rejects


def test_every_file_ends_as_its_own_row_or_as_a_reject() -> None:
    reader, engine, writer, outcome = (
        FakeReader(bad={3, 50}, known={7}),
        FakeEngine(),
        FakeWriter(),
        Outcome(),
    )
    told = []
    run(range(100), reader, engine.start, writer, outcome, workers=3, on_progress=lambda *n: told.append(n))
    assert sorted(reader.seen) == list(range(100))
    assert writer.rows == {key(i): float(i) for i in range(100) if i not in {3, 7, 50}}
    assert sorted(r.path for r in writer.rejects) == ["3", "50"]
    assert outcome.embedded == engine.pictures == 97
    assert sum(done for done, _ in told) == 100
    assert sum(rejected for _, rejected in told) == 2


def test_no_engine_is_started_for_nothing() -> None:
    engine = FakeEngine()
    run(range(5), FakeReader(known=set(range(5))), engine.start, FakeWriter(), Outcome(), workers=2)
    run([], FakeReader(), engine.start, FakeWriter(), Outcome(), workers=2)
    assert engine.started == 0


def test_rows_are_sealed_as_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "SEAL_ROWS", 10)
    monkeypatch.setattr(runner, "SEAL_SECONDS", 1e9)
    writer = FakeWriter()
    run(range(100), FakeReader(), FakeEngine().start, writer, Outcome(), workers=2)
    assert 8 <= writer.seals <= 10
    monkeypatch.setattr(runner, "SEAL_ROWS", 10**9)
    monkeypatch.setattr(runner, "SEAL_SECONDS", 0.0)
    writer = FakeWriter()
    run(range(100), FakeReader(), FakeEngine().start, writer, Outcome(), workers=2)
    assert writer.seals > 5


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_was_embedded_before_a_failure_is_sealed(error: type[BaseException]) -> None:
    engine, writer, outcome = FakeEngine(fail_at=20, error=error), FakeWriter(), Outcome()
    with pytest.raises(error):
        run(range(200), FakeReader(), engine.start, writer, outcome, workers=2)
    assert len(writer.rows) == outcome.embedded == engine.pictures
    assert outcome.embedded >= 57
    again = FakeEngine()
    left = [i for i in range(200) if key(i) not in writer.rows]
    run(left, FakeReader(), again.start, writer, outcome, workers=2)
    assert len(writer.rows) == 200
    assert again.pictures == 200 - engine.pictures


def test_a_failing_reader_seals_what_is_done() -> None:
    class Failing(FakeReader):
        def _read(self, i: int) -> Read:
            if i == 90:
                raise ValueError("reader")
            return super()._read(i)

    writer = FakeWriter()
    with pytest.raises(ValueError, match="reader"):
        run(range(200), Failing(), FakeEngine().start, writer, Outcome(), workers=1)
    assert len(writer.rows) >= 60


class Late:
    """Lanes as slow as can be: a batch is embedded when its rows are waited for, and not before."""

    def submit(self, embed: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> Any:
        return SimpleNamespace(done=lambda: False, result=lambda: embed(pixels))

    def shutdown(self, cancel_futures: bool) -> None:
        pass


def test_reading_stays_a_bounded_way_ahead_of_a_slow_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead: list[int] = []
    engine, writer = FakeEngine(), FakeWriter()

    def indices() -> Iterator[int]:
        for i in range(600):
            ahead.append(i - engine.pictures)
            yield i

    def pool(threads: int, name: str) -> Any:
        return Late() if name == "embed" else ThreadPoolExecutor(threads, name)

    monkeypatch.setattr(runner, "ThreadPoolExecutor", pool)
    run(indices(), FakeReader(), engine.start, writer, Outcome(), workers=2)
    assert len(writer.rows) == 600
    # (2 x workers + 1) tasks of 8 in the queue, one being unpacked, and 3 batches of 3 on their way.
    assert max(ahead) <= 8 * 6 + 3 * 4


def test_claims_hand_each_key_out_once() -> None:
    kept: set[bytes] = {key(1)}
    claims = Claims(lambda keys: np.array([k.tobytes() in kept for k in keys], bool))
    assert claims.take([key(1), key(2), key(2)]) == [False, True, False]
    assert claims.take([key(2), key(3)]) == [False, True]
    claims.settle(np.frombuffer(key(2), np.uint8)[None])
    assert claims.take([key(2)]) == [True]  # not in the cache after all: somebody must compute it
    kept.add(key(3))
    claims.settle(np.frombuffer(key(3), np.uint8)[None])
    assert claims.take([key(3)]) == [False]
