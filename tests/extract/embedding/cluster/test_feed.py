"""The pipeline of a worker: fed block by block, it tells what it read once, and ends with all sealed."""

from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.embedding.cluster.messages import Block, News, Task
from extract.embedding.cluster.worker import Worker
from extract.embedding.extractor import Extractor
from extract.settings import Decoding, Options
from extract.sources.source import open_source
from tests.extract.counting import CountingEngine


@pytest.fixture
def parts(folder: Path, engine: CountingEngine) -> tuple[Worker, Extractor, list[Block]]:
    """A worker that has begun, what it works for, and the nine pictures one by one; the last twice."""
    workspace = Workspace(folder.parent / "workspace")
    manifest = open_source(workspace, folder).scan_again(workspace, "x", print).manifest
    backbone, decoding, options = Backbone.of("mobilenet_v2", "none", 32), Decoding(), Options()
    extractor = Extractor(workspace, backbone, decoding, options)
    worker = Worker()
    task = Task(str(workspace.root), backbone, decoding, options, None, extractor.space.id)
    assert worker.begin([task], 2).engines == ["litert"]
    rows = [*range(9), 8]
    return worker, extractor, [Block(manifest.select(np.array([row])), np.array([row])) for row in rows]


def told(worker: Worker, over: bool, at_once: bool = False) -> list[News]:
    found = [worker.turn([], over, at_once)]
    while over and not found[-1].idle:
        found.append(worker.turn([], over))
    return found


def test_each_file_is_told_of_once_and_sealed(
    parts: tuple[Worker, Extractor, list[Block]], engine: CountingEngine
) -> None:
    worker, extractor, blocks = parts
    news = [
        worker.turn(blocks[:4], over=False),
        worker.turn(blocks[4:], over=False),
        *told(worker, over=True),
    ]
    assert sorted(row for each in news for row in each.rows.tolist()) == [*range(9), 8]
    keys = np.concatenate([each.key for each in news])
    assert extractor.store.contains(keys).all() and engine.pictures == 9
    assert news[-1].idle and news[-1].room == 64
    assert worker.turn([], over=True).idle  # with nothing to do there is nothing to wait for
    again = [worker.turn(blocks[:1], over=True), *told(worker, over=True)]
    assert [row for each in again for row in each.rows.tolist()] == [0] and engine.pictures == 9


def test_what_was_begun_is_sealed_when_it_is_to_end_at_once(
    parts: tuple[Worker, Extractor, list[Block]],
) -> None:
    worker, extractor, blocks = parts
    news = [worker.turn(blocks, over=False), *told(worker, over=True, at_once=True)]
    keys = np.concatenate([each.key for each in news])
    assert news[-1].idle and extractor.store.contains(keys).all()


def test_a_network_that_is_another_one_there_is_refused(
    parts: tuple[Worker, Extractor, list[Block]], engine: CountingEngine
) -> None:
    _, extractor, _ = parts
    task = Task(str(extractor.workspace.root), extractor.backbone, Decoding(), Options(), None, "ab" * 32)
    with pytest.raises(UserError, match="space abababababab on each node, received"):
        Worker().begin([task], 1)
