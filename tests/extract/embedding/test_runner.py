"""The runner with fakes that count: what is computed, what is sealed, and what an interruption costs."""

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from cache.storage.rejects import Reject
from extract.embedding import runner
from extract.embedding.reading import Claims, Read
from extract.embedding.runner import CHUNK, Branch, Outcome, run


def key(index: int) -> bytes:
    return hashlib.sha256(str(index).encode()).digest()


class FakeReader:
    """Pixels hold the index; every index in `bad` is rejected, every one in `known` has its row already."""

    def __init__(self, bad: set[int] = frozenset(), known: set[int] = frozenset(), branches: int = 1) -> None:  # type: ignore[assignment]
        self.bad, self.known, self.branches, self.seen = bad, known, branches, []  # type: ignore[var-annotated]
        self.lock = threading.Lock()

    def __call__(self, indices: Sequence[int]) -> Iterator[Read]:
        for i in indices:
            with self.lock:
                self.seen.append(i)
            yield self._read(i)

    def _read(self, i: int) -> Read:
        every = range(self.branches)
        if i in self.bad:
            return Read(i, key(i), rejects=dict.fromkeys(every, Reject(key(i), str(i), "bad", "fake")))
        return Read(
            i, key(i), {} if i in self.known else {n: np.full((2, 2, 3), i % 251, np.uint8) for n in every}
        )


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
    run(
        range(100),
        reader,
        [Branch(engine.start, writer, outcome)],
        workers=3,
        on_progress=lambda *n: told.append(n),
    )
    assert sorted(reader.seen) == list(range(100))
    assert writer.rows == {key(i): float(i) for i in range(100) if i not in {3, 7, 50}}
    assert sorted(r.path for r in writer.rejects) == ["3", "50"]
    assert outcome.embedded == engine.pictures == 97
    assert sum(done for done, _ in told) == 100
    assert sum(rejected for _, rejected in told) == 2


def test_no_engine_is_started_for_nothing() -> None:
    engine = FakeEngine()
    run(range(5), FakeReader(known=set(range(5))), [Branch(engine.start, FakeWriter(), Outcome())], workers=2)
    run([], FakeReader(), [Branch(engine.start, FakeWriter(), Outcome())], workers=2)
    assert engine.started == 0


def test_rows_are_sealed_as_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "SEAL_ROWS", 10)
    monkeypatch.setattr(runner, "SEAL_SECONDS", 1e9)
    writer = FakeWriter()
    run(range(100), FakeReader(), [Branch(FakeEngine().start, writer, Outcome())], workers=2)
    assert 8 <= writer.seals <= 10
    monkeypatch.setattr(runner, "SEAL_ROWS", 10**9)
    monkeypatch.setattr(runner, "SEAL_SECONDS", 0.0)
    writer = FakeWriter()
    run(range(100), FakeReader(), [Branch(FakeEngine().start, writer, Outcome())], workers=2)
    assert writer.seals > 5


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_was_embedded_before_a_failure_is_sealed(error: type[BaseException]) -> None:
    engine, writer, outcome = FakeEngine(fail_at=20, error=error), FakeWriter(), Outcome()
    with pytest.raises(error):
        run(range(200), FakeReader(), [Branch(engine.start, writer, outcome)], workers=2)
    assert len(writer.rows) == outcome.embedded == engine.pictures
    assert outcome.embedded >= 57
    again = FakeEngine()
    left = [i for i in range(200) if key(i) not in writer.rows]
    run(left, FakeReader(), [Branch(again.start, writer, outcome)], workers=2)
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
        run(range(200), Failing(), [Branch(FakeEngine().start, writer, Outcome())], workers=1)
    assert len(writer.rows) >= 60


def test_reading_stays_a_bounded_way_ahead_of_a_slow_engine() -> None:
    class Slow(FakeEngine):
        def embed(self, pixels: np.ndarray) -> np.ndarray:
            time.sleep(0.0005)
            return super().embed(pixels)

    ahead: list[int] = []
    engine, writer = Slow(), FakeWriter()

    def indices() -> Iterator[int]:
        for i in range(600):
            ahead.append(i - engine.pictures)
            yield i

    run(indices(), FakeReader(), [Branch(engine.start, writer, Outcome())], workers=2)
    assert len(writer.rows) == 600
    # Each thread has read some, one of them is taking its next, and two pictures wait for a third.
    assert max(ahead) <= 3 * CHUNK + 2


def test_no_more_batches_wait_than_are_embedded() -> None:
    lock, held, most = threading.Lock(), [0], [0]

    class Waiting(FakeEngine):
        batch_size, lanes = 4, 1

        def embed(self, pixels: np.ndarray) -> np.ndarray:
            time.sleep(0.001)
            with lock:
                held[0] -= len(pixels)
            return super().embed(pixels)

    class Watched(FakeReader):
        def _read(self, i: int) -> Read:
            with lock:
                held[0] += 1
                most[0] = max(most[0], held[0])
            return super()._read(i)

    engine, writer = Waiting(), FakeWriter()
    run(range(400), Watched(), [Branch(engine.start, writer, Outcome())], workers=6)
    assert len(writer.rows) == 400
    assert most[0] <= 2 * 4 + 6 * CHUNK  # one batch at work, one complete, and what each thread has read


def branches(*engines: FakeEngine) -> tuple[list[FakeWriter], list[Branch]]:
    writers = [FakeWriter() for _ in engines]
    return writers, [Branch(e.start, w, Outcome()) for e, w in zip(engines, writers, strict=True)]


class Mixed(FakeReader):
    """Each branch wants every picture but those that divide by its number + 2, and refuses those of rest 1."""

    def _read(self, i: int) -> Read:
        wants = {n for n in range(self.branches) if i % (n + 2) > 1}
        bad = {n for n in range(self.branches) if i % (n + 2) == 1}
        return Read(
            i,
            key(i),
            {n: np.full((2, 2, 3), (i + n) % 251, np.uint8) for n in wants},
            {n: Reject(key(i), str(i), f"bad for {n}", "fake") for n in bad},
        )


def test_each_branch_gets_what_is_its_own_and_a_file_is_read_once() -> None:
    engines = [FakeEngine() for _ in range(3)]
    writers, all_three = branches(*engines)
    engines[1].batch_size, engines[2].lanes, told = 1, 1, []
    reader = Mixed(branches=3)
    run(range(100), reader, all_three, workers=3, on_progress=lambda *n: told.append(n))
    assert sorted(reader.seen) == list(range(100))
    for n, (engine, writer, branch) in enumerate(zip(engines, writers, all_three, strict=True)):
        assert writer.rows == {key(i): float(i + n) for i in range(100) if i % (n + 2) > 1}
        assert sorted(int(r.path) for r in writer.rejects) == [i for i in range(100) if i % (n + 2) == 1]
        assert branch.outcome.embedded == engine.pictures == len(writer.rows)
        assert branch.outcome.rejects == writer.rejects
    assert sum(done for done, _ in told) == 100
    assert sum(rejected for _, rejected in told) == sum(
        any(i % (n + 2) == 1 for n in range(3)) for i in range(100)
    )


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_where_one_of_several_engines_fails_all_rows_so_far_are_sealed(error: type[BaseException]) -> None:
    engines = [FakeEngine(), FakeEngine(fail_at=20, error=error)]
    writers, both = branches(*engines)
    with pytest.raises(error):
        run(range(200), FakeReader(branches=2), both, workers=2)
    for engine, writer, branch in zip(engines, writers, both, strict=True):
        assert len(writer.rows) == branch.outcome.embedded == engine.pictures >= 57


def test_ctrl_c_seals_what_every_branch_has() -> None:
    def stop(done: int, rejected: int) -> None:
        told.append(done)
        if len(told) == 50:
            raise KeyboardInterrupt

    told: list[int] = []
    engines = [FakeEngine(), FakeEngine()]
    writers, both = branches(*engines)
    with pytest.raises(KeyboardInterrupt):
        run(range(10_000), FakeReader(branches=2), both, workers=2, on_progress=stop)
    for engine, writer in zip(engines, writers, strict=True):
        assert 48 <= len(writer.rows) == engine.pictures < 10_000


def test_where_one_writer_fails_the_other_rows_are_sealed() -> None:
    class Full(FakeWriter):
        def __call__(self, keys: np.ndarray, rows: np.ndarray, rejects: list[Reject]) -> None:
            raise OSError("disk full")

    full, writer = Full(), FakeWriter()
    both = [Branch(FakeEngine().start, each, Outcome()) for each in (full, writer)]
    with pytest.raises(OSError, match="disk full"):
        run(range(50), FakeReader(branches=2), both, workers=2)
    assert len(writer.rows) == both[1].outcome.embedded == 50 and both[0].outcome.embedded == 0


def test_an_engine_that_does_not_start_ends_the_run() -> None:
    def broken() -> FakeEngine:
        raise ValueError("no engine")

    engine, writer = FakeEngine(), FakeWriter()
    both = [Branch(engine.start, writer, Outcome()), Branch(broken, FakeWriter(), Outcome())]
    with pytest.raises(ValueError, match="no engine"):
        run(range(200), FakeReader(branches=2), both, workers=3)
    assert len(writer.rows) == engine.pictures


def test_engines_start_in_the_thread_that_runs() -> None:
    started: list[threading.Thread] = []

    class Noting(FakeEngine):
        def start(self) -> "FakeEngine":
            started.append(threading.current_thread())
            return super().start()

    writers, both = branches(Noting(), Noting())
    run(range(20), FakeReader(branches=2), both, workers=3)
    assert started == [threading.current_thread()] * 2
    assert [len(writer.rows) for writer in writers] == [20, 20]


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
