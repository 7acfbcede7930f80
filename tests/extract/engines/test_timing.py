"""Costs: every lane works, passes are counted, and a measurement is good for one machine and engine."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.storage.store import Store
from extract.engines import timing
from tests.classify.samples import SPACE


class Counting:
    """An engine that counts pictures, and how many are at work at once."""

    batch_size, lanes = 3, 2

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[int] = set()
        self._both = threading.Barrier(2, timeout=120)

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        self._both.wait()  # passes only while both lanes are in here
        self.batches.append(len(pixels))
        self.threads.add(threading.get_ident())
        return np.zeros((len(pixels), 1), np.float32)


def test_all_lanes_work_on_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "AT_LEAST", 0.0)
    engine = Counting()
    assert timing.milliseconds(engine, np.zeros((5, 2, 2, 3), np.uint8)) > 0
    assert set(engine.batches) == {3} and len(engine.threads) == 2
    assert len(engine.batches) == (1 + timing.PASSES) * timing.STEPS * engine.lanes


def test_a_measurement_is_found_again_by_the_same_engine_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / SPACE.id, SPACE).create()
    assert timing.recall_cost(store, "litert", None) is None
    timing.keep_cost(store, "litert", None, 12.5)
    timing.keep_cost(store, "litert", 32, 9.5)
    assert (
        timing.recall_cost(store, "litert", None) == 12.5 and timing.recall_cost(store, "litert", 32) == 9.5
    )
    assert timing.recall_cost(store, "keras", None) is None is timing.recall_cost(store, "litert", 1)
    monkeypatch.setattr(timing, "usable_cores", lambda: 64)
    assert timing.recall_cost(store, "litert", None) is None


def test_a_cost_is_measured_once_a_space_and_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, measured = [], iter([4.0, 3.0, 2.0])
    monkeypatch.setattr(timing, "milliseconds", lambda engine, pixels: next(measured))
    whole = Store(tmp_path / SPACE.id, SPACE).create()
    eighth = replace(SPACE, precision="int8")
    small = Store(tmp_path / eighth.id, eighth).create()

    def cost(store: Store, *, again: bool = False) -> float:
        return timing.cost_of(store, "litert", lambda: started.append(1), lambda: None, again=again)

    assert [cost(whole), cost(whole), cost(small), cost(whole)] == [4.0, 4.0, 3.0, 4.0]
    assert cost(whole, again=True) == 2.0 == cost(whole) and len(started) == 3
