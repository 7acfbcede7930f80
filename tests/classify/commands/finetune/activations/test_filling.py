"""Activations from the cache are those computed on the spot, and nothing is computed twice or made up."""

import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.manifest import Manifest
from cache.workspace import Workspace
from classify.commands.finetune.activations.filling import at_layer, fill, open_parts, planned_bytes
from classify.commands.finetune.activations.reading import Cached, Live
from extract.backbones.backbone import Backbone
from extract.embedding.progress import Progress
from extract.embedding.spaces import backbone_of, decoding_of
from extract.engines.choice import learn_network, open_engine
from extract.pictures.augmentation import View
from extract.pictures.files import load
from extract.settings import Decoding, Options
from tests.classify.commands.finetune.conftest import SIZE

LAYER = "block9_add"  # where the default, the last 50 layers, begins
VIEWS = (None, View("standard", 1), View("flip", 2))
Part = tuple[View | None, np.ndarray]


class Stage:
    """A workspace of one's own over pictures of one's own, and what counts the work on them."""

    def __init__(self, workspace: Workspace, pictures: Path, layer: str = LAYER) -> None:
        self.workspace, self.pictures, self.started, self.done = workspace, pictures, 0, 0
        data = workspace.load()
        self.backbone: Backbone = at_layer(backbone_of(data.store), layer)
        self.decoding: Decoding = decoding_of(workspace, data.space)
        self.manifest: Manifest = replace(data.manifest, root=str(pictures))
        network, _ = learn_network(self.backbone, "litert")
        self.engine = open_engine("litert", self.backbone, network)

    def fill(self, *parts: Part, dtype: str = "float16") -> tuple[Cached, list[int]]:
        def start(files: int) -> None:
            self.started += 1

        def advance(done: int, rejected: int) -> None:
            self.done += done

        options, progress = Options(dtype=dtype), Progress(start=start, advance=advance)
        self.started = self.done = 0
        opened = open_parts(
            self.workspace, self.backbone, self.decoding, options, self.manifest, parts, self.engine
        )
        lost = fill(self.manifest, opened, progress)
        return Cached(self.manifest, opened, lost), lost.tolist()

    def live(self, views: Sequence[View | None] = VIEWS) -> Live:
        return Live(self.manifest, views, SIZE, self.decoding, self.engine)


@pytest.fixture
def stage(stripes: Workspace) -> Stage:
    return Stage(stripes, stripes.root.parent / "stripes")


def test_cached_is_live_but_for_rounding(stage: Stage) -> None:
    everything, some = np.arange(len(stage.manifest)), np.arange(4, 50, 3)
    cached, lost = stage.fill((VIEWS[0], everything), (VIEWS[1], some), (VIEWS[2], some[::-1]))
    assert not lost and stage.done == len(everything)  # each file is read once for all of its views
    random, live = np.random.default_rng(0), stage.live()
    for views in (np.zeros(12, int), random.integers(0, 3, 12), np.full(12, 2)):  # in any order, twice too
        rows = random.choice(some if views.any() else everything, 12)
        found, expected = cached.take(rows, views), live.take(rows, views)
        assert found.shape == (12, 4, 4, 112) and found.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=2**-11, atol=2**-24)
        if views.any():
            assert np.abs(found - live.take(rows, np.zeros(12, int))).max() > 0.1


def test_float32_is_kept_whole(stage: Stage) -> None:
    rows = np.arange(5)
    cached, _ = stage.fill((None, rows), dtype="float32")
    assert np.array_equal(cached.take(rows, 0 * rows), stage.live().take(rows, 0 * rows))


def test_nothing_is_computed_again(stage: Stage) -> None:
    rows = np.arange(10)
    stage.fill((None, rows), (VIEWS[1], rows[:4]))
    assert (stage.started, stage.done) == (2, 10)  # files with a view to make, and files without
    stage.fill((None, rows), (VIEWS[1], rows[:4]))
    assert (stage.started, stage.done) == (0, 0)
    stage.fill((None, np.arange(12)), (VIEWS[1], rows[:4]), (VIEWS[2], rows[:3]))
    assert (stage.started, stage.done) == (2, 5)  # two more plain ones, and a view of three


def test_what_cannot_be_read_again_is_lost_and_not_made_up(stage: Stage) -> None:
    stage.fill((None, np.arange(8)), (VIEWS[1], np.array([50])))  # something of two was there once
    keys = stage.manifest.key.copy()
    root = Path(stage.manifest.root)
    gone, other, changed, viewed = 3, 20, 25, 50
    for row in (gone, other, viewed):
        (root / stage.manifest.paths[row]).unlink()
    shutil.copy(root / stage.manifest.paths[40], root / stage.manifest.paths[changed])
    everything = np.arange(len(stage.manifest))
    cached, lost = stage.fill((None, everything), (VIEWS[1], everything))
    assert lost == [gone, other, changed, viewed]
    assert np.array_equal(stage.manifest.key, keys)  # by which the head's embeddings are found
    there = np.delete(everything, lost)
    for view in (0, 1):
        found = cached.take(there[::-1], np.full(len(there), view))
        live = stage.live().take(there[::-1][15:25], np.full(10, view))
        np.testing.assert_allclose(found[15:25], live, rtol=2**-11, atol=2**-24)
    for row in lost:
        with pytest.raises(UserError, match=r"again for training, but: .*Restore it") as error:
            stage.live().take(np.array([0, row]), np.array([0, 0]))
        assert stage.manifest.paths[row] in str(error.value)


def test_a_file_that_is_gone_matters_only_where_it_is_needed(stage: Stage) -> None:
    rows = np.arange(6)
    stage.fill((None, rows))
    (Path(stage.manifest.root) / stage.manifest.paths[2]).unlink()
    cached, lost = stage.fill((None, rows), (VIEWS[1], rows[3:]))
    assert not lost and cached.take(rows, 0 * rows).shape == (6, 4, 4, 112)


def test_a_border_at_the_input_gives_the_pictures(stage: Stage) -> None:
    rows, views = np.array([7, 0, 7]), np.array([0, 1, 2])
    pixels = Live(stage.manifest, VIEWS, SIZE, stage.decoding, None).take(rows, views)
    assert pixels.shape == (3, SIZE, SIZE, 3) and pixels.dtype == np.uint8
    for found, row, view in zip(pixels, rows, views, strict=True):
        path, key = stage.manifest.paths[row], stage.manifest.key[row].tobytes()
        expected = load(Path(stage.manifest.root), path, key, SIZE, stage.decoding, VIEWS[view])
        assert np.array_equal(found, expected)
    assert (pixels[0] != pixels[2]).any()


class Slow:
    """An engine that takes two pictures at a time, and notices who asks for more."""

    def __init__(self, lanes: int) -> None:
        self.batch_size, self.lanes, self.most = 2, lanes, 0
        self._running, self._lock = 0, threading.Lock()

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        assert 1 <= len(pixels) <= self.batch_size
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        time.sleep(0.01)
        with self._lock:
            self._running -= 1
        return pixels.astype(np.float32).mean(axis=(1, 2), keepdims=True)


@pytest.mark.parametrize("lanes", [1, 3])
def test_an_engine_is_used_from_no_more_threads_than_it_has_lanes(stage: Stage, lanes: int) -> None:
    engine, rows = Slow(lanes), np.arange(9)[::-1]
    found = Live(stage.manifest, VIEWS, SIZE, stage.decoding, engine).take(rows, 0 * rows)
    pixels = Live(stage.manifest, VIEWS, SIZE, stage.decoding, None).take(rows, 0 * rows)
    np.testing.assert_allclose(found, pixels.mean(axis=(1, 2), keepdims=True), rtol=1e-5)
    assert 1 <= engine.most <= lanes


def test_planned_bytes_are_those_on_the_disk(stage: Stage) -> None:
    assert planned_bytes((4, 4, 112), "float16", 1000) == 1000 * 4 * 4 * 112 * 2
    before = _size(stage.workspace)
    stage.fill((None, np.arange(40)), (VIEWS[1], np.arange(30)), (VIEWS[2], np.arange(30)))
    planned = planned_bytes((4, 4, 112), "float16", 40 + 30 + 30)
    assert planned == pytest.approx(_size(stage.workspace) - before, rel=0.1)


def _size(workspace: Workspace) -> int:
    return sum(path.stat().st_size for path in (workspace.root / "spaces").rglob("*.h5"))


def test_layers_are_named_in_the_space(stage: Stage) -> None:
    assert stage.backbone.layer == LAYER and stage.backbone.pooling == f"layer:{LAYER}"
    known = {store.space.id for store in stage.workspace.spaces()}
    stage.fill((None, np.arange(2)), (VIEWS[1], np.arange(2)))
    fresh = [store.space for store in stage.workspace.spaces() if store.space.id not in known]
    assert {(space.pooling, space.view, space.dtype) for space in fresh} == {
        (f"layer:{LAYER}", "plain", "float16"),
        (f"layer:{LAYER}", View("standard", 1).name, "float16"),
    }
