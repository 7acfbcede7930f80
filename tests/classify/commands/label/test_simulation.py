"""The replay: the clever order saves labels where it can, auto says so where it cannot, and the estimate is right."""

from collections.abc import Callable

import numpy as np
import pytest

from cache.errors import UserError
from cache.manifest import Manifest
from cache.workspace import Workspace
from classify.commands.label.command import order_of, simulate
from classify.commands.label.pool import Pool
from classify.commands.label.simulation import replay
from classify.data.neighbours.cached import neighbours_of
from tests.classify.samples import make_manifest


def test_it_saves_labels_where_classes_are_rare(build: Callable[[Manifest, np.ndarray], Workspace]) -> None:
    generator = np.random.default_rng(0)
    label = np.repeat(np.arange(10), [100, 60, 40, 30, 20, 20, 10, 10, 10, 10])
    X = (np.eye(10, 16)[label] * 3 + generator.normal(0, 0.4, (310, 16))).astype(np.float32)
    workspace = build(make_manifest(label, tuple("abcdefghij")), X)
    assert order_of(workspace, "digits")[0] == "clever"
    found = simulate(workspace, workspace.load(), accuracy=0.97, seeds=5)
    assert found.order == "clever" and found.saving.ratio < 0.7
    assert order_of(workspace, "digits") == ("clever", f"by the simulation {found.run.name}")


def test_auto_is_random_where_the_order_saves_nothing(
    build: Callable[[Manifest, np.ndarray], Workspace],
) -> None:
    generator = np.random.default_rng(0)
    X = generator.normal(0, 1, (120, 16)).astype(np.float32)
    workspace = build(make_manifest(generator.integers(0, 2, 120), ("a", "b")), X)
    found = simulate(workspace, workspace.load(), accuracy=0.99, seeds=2)
    assert found.order == "random" and "auto is random" in found.to_text()
    assert order_of(workspace, "digits") == ("random", f"by the simulation {found.run.name}")
    assert found.notes == ["not reached with all labels in 4 replays: they count as all"]


def test_the_interval_holds_the_accuracy(workspace: Workspace) -> None:
    data = workspace.load()
    pool = Pool.of(data, np.arange(300), neighbours_of(data))
    stops = []
    for seed in range(6):
        made = replay(
            pool,
            data.manifest.label,
            10,
            seed,
            clever=True,
            until=lambda stop: stop.labels >= 120,
            looks=(60, 120),
        )
        stops += [(stop.accuracy, *stop.estimate.interval) for stop in made if stop.estimate]
    truth, low, high = np.array(stops).T
    near = 0.05  # the truth is measured on 60 pictures
    assert len(stops) == 12 and ((low - near <= truth) & (truth <= high + near)).sum() >= 11


def test_a_data_set_without_labels_is_refused(build: Callable[[Manifest, np.ndarray], Workspace]) -> None:
    workspace = build(make_manifest(np.full(30, -1), ("a",)), np.eye(30, 16, dtype=np.float32))
    with pytest.raises(UserError, match="Expected a data set with labels"):
        simulate(workspace, workspace.load())
