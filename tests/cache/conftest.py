"""Small real stores."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cache.space import Space
from cache.storage.store import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def space() -> Space:
    return Space("tiny", "0" * 64, "avg", 8, "crop", "none", "fake")


@pytest.fixture
def store(tmp_path: Path, space: Space) -> Store:
    return Store(tmp_path / "spaces" / space.id, space).create()


@pytest.fixture
def sample() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return a function: (n, seed, width) -> keys (n, 32) uint8 and rows (n, width) float32."""

    def make(n: int, seed: int = 0, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        keys = random.integers(0, 256, (n, 32), dtype=np.uint8)
        return keys, random.standard_normal((n, width), dtype=np.float32)

    return make


@pytest.fixture
def child() -> Callable[..., subprocess.Popen]:
    """Return a function that runs Python code with arguments in another process."""

    def start(code: str, *arguments: object) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
