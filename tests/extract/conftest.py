"""What many tests of extraction start from."""

from pathlib import Path

import pytest

from extract.embedding import extractor
from tests.extract.counting import CountingEngine, make_pictures


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> CountingEngine:
    counting = CountingEngine()
    monkeypatch.setattr(extractor, "learn_network", lambda *_: (counting.network, None))
    monkeypatch.setattr(extractor, "open_engine", lambda *_: counting)
    return counting


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures", {"cat": 5, "dog": 4})
