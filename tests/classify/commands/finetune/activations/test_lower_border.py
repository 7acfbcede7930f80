"""Activations of a lower border become those of a higher one: of the same network and view, and no file is read."""

import shutil
from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest

from cache.space import LAYER
from cache.workspace import Workspace
from classify.commands.finetune.activations import lower_border
from classify.commands.finetune.activations.filling import Part, open_parts
from classify.commands.finetune.activations.lower_border import run_up
from extract.backbones.network import below, build_embedder, hash_weights, network_of
from extract.embedding.progress import Progress
from extract.settings import Options
from tests.classify.commands.finetune.activations.test_filling import LAYER as BORDER
from tests.classify.commands.finetune.activations.test_filling import VIEWS, Stage

LOWER, LOWEST = "block7_add", "block2_add"  # above and below the middle of what lies below the border


@pytest.fixture
def stage(stripes: Workspace) -> Stage:
    return Stage(stripes, stripes.root.parent / "stripes", LOWER)


@pytest.fixture
def network(stage: Stage) -> keras.Model:
    return network_of(build_embedder(replace(stage.backbone, pooling="avg")))


Raised = Callable[..., tuple[list[Part], int]]


@pytest.fixture
def raised(stage: Stage, network: keras.Model) -> Raised:
    def run(rows: np.ndarray, network: keras.Model = network) -> tuple[list[Part], int]:
        upper = Stage(stage.workspace, stage.pictures, BORDER)
        wanted = [(view, rows) for view in VIEWS[:2]]
        options = Options(dtype="float16")
        parts = open_parts(
            upper.workspace, upper.backbone, upper.decoding, options, upper.manifest, wanted, upper.engine
        )
        return run_up(upper.workspace, upper.manifest, parts, network, BORDER, Progress())

    return run


def test_those_of_a_lower_border_are_run_up_without_a_file(
    stage: Stage, raised: Raised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lower_border, "BATCH", 3)
    monkeypatch.setattr(lower_border, "SEAL_BYTES", 1)
    rows = np.arange(8)
    upper = Stage(stage.workspace, stage.pictures, BORDER)
    expected = [upper.live().take(rows, np.full(8, view)) for view in (0, 1)]
    stage.fill((VIEWS[0], rows), (VIEWS[1], rows[:4]))
    shutil.rmtree(stage.pictures)
    parts, count = raised(rows)
    assert count == 12 and [part.todo.tolist() for part in parts] == [[], [4, 5, 6, 7]]
    cached, lost = upper.fill((VIEWS[0], rows), (VIEWS[1], rows[:4]))
    assert not lost and upper.done == 0
    for view, there in ((0, rows), (1, rows[:4])):
        found, exact = cached.take(there, np.full(len(there), view)), expected[view][there]
        assert np.abs(found - exact).max() < 2e-3 * np.abs(exact).max()
    assert raised(rows)[1] == 0  # they are there now


def test_of_another_network_or_from_far_below_nothing_is_taken(
    stage: Stage, network: keras.Model, raised: Raised
) -> None:
    rows = np.arange(4)
    Stage(stage.workspace, stage.pictures, LOWEST).fill((None, rows))
    assert raised(rows)[1] == 0
    stage.fill((None, rows))
    stem = next(layer for layer in network.layers if layer.weights)
    weights = stem.get_weights()
    stem.set_weights([weights[0] + 0.01, *weights[1:]])
    assert raised(rows, network)[1] == 0
    stem.set_weights(weights)
    assert raised(rows, network)[1] == 4


def test_a_layer_that_not_all_data_flows_through_is_no_border(
    stage: Stage, network: keras.Model, raised: Raised
) -> None:
    rows = np.arange(4)
    stage.fill((None, rows))
    [store] = [each for each in stage.workspace.spaces() if each.space.pooling == LAYER + LOWER]
    inner = "block8_project"
    lower = below(network, inner)
    space = replace(store.space, pooling=LAYER + inner, weights=hash_weights(lower))
    activations = np.zeros((4, *lower.output_shape[1:]), np.float16)
    stage.workspace.store(space).add(stage.manifest.key[rows], activations)
    parts, count = raised(rows)
    assert count == 4  # from LOWER
    assert np.abs(parts[0].extractor.store.gather(stage.manifest.key[rows])).max() > 0.1
