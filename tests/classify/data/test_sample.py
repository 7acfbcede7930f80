"""The sample of a tournament: stratified, nested, and never of the test part."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.manifest import SPLITS, TEST, TRAIN, VAL
from cache.storage.json_file import write_json
from cache.workspace import Workspace
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.data.division import divide
from classify.data.neighbours import near_duplicates
from classify.data.sample import stratified, training_sample
from classify.data.split_record import Assignments
from classify.data.splits import split
from classify.runs.readings import COMMAND, sample_notes
from tests.classify.samples import SPACE, make_manifest

LABELS = np.repeat([0, 1, 2], [100, 60, 5])


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / ".coldframe").create()


def draw(workspace: Workspace, size: int, **changes: object) -> np.ndarray:
    manifest = make_manifest(LABELS, ("a", "b", "c"))
    for name, value in changes.items():
        setattr(manifest, name, value)
    return training_sample(workspace, "letters", manifest, size, test_size=0.2, seed=0)


def test_each_class_gives_its_share() -> None:
    order = np.random.default_rng(0).permutation(165)
    rows = stratified(LABELS, order, 33)
    assert np.bincount(LABELS[rows]).tolist() == [20, 12, 1]
    for label in range(3):  # those that come first in their class
        own = np.flatnonzero(label == LABELS)
        assert set(rows[LABELS[rows] == label]) == set(
            own[np.argsort(order[own])][: (LABELS[rows] == label).sum()]
        )
    assert set(rows) < set(stratified(LABELS, order, 70))
    assert sorted(stratified(LABELS, order, 1_000)) == list(range(165))


def test_the_sample_trains_and_stays_out_of_later_test_parts(workspace: Workspace) -> None:
    manifest = make_manifest(LABELS, ("a", "b", "c"))
    alone = split(manifest, test_size=0.2, seed=0).part
    rows = draw(workspace, 50)
    assert len(rows) == 50 and (alone[rows] == TRAIN).all()
    previous = Assignments.load(Assignments.path(workspace.root, "letters", 0, 0.2))
    assert previous is not None and len(previous.key) == 50
    # A picture that would be tested turns out to be a near copy of one in the sample: both train.
    tested = int(np.flatnonzero(alone == TEST)[0])
    same = rows[LABELS[rows] == LABELS[tested]][0]
    groups = np.arange(165)
    groups[tested] = groups[same]
    later = split(manifest, test_size=0.2, seed=0, previous=previous, groups=groups).part
    assert (later[rows] == TRAIN).all() and later[tested] == TRAIN
    assert (later == TEST).sum() == (alone == TEST).sum()
    np.testing.assert_array_equal(draw(workspace, 50), rows)
    assert set(rows) < set(draw(workspace, 90).tolist())


def test_parts_of_ones_own_are_kept_and_copies_count_once(workspace: Workspace) -> None:
    part = np.where(np.arange(165) % 3 == 0, SPLITS.index("test"), SPLITS.index("train")).astype(np.uint8)
    manifest = make_manifest(LABELS, ("a", "b", "c"))
    key = manifest.key.copy()
    key[2] = key[1]
    rows = draw(workspace, 1_000, split=part, key=key)
    assert len(rows) == 110 - 1 and (part[rows] == SPLITS.index("train")).all()
    assert not (workspace.root / "splits").exists()


def test_no_pictures_is_an_error(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="--sample"):
        draw(workspace, 0)
    with pytest.raises(UserError, match="Expected pictures for training"):
        draw(workspace, 5, key=np.zeros((165, 32), np.uint8))


def test_shares_with_a_validation_part_do_not_test_the_sample(
    digits: tuple[np.ndarray, np.ndarray], build: Callable[..., Workspace]
) -> None:
    manifest = make_manifest(digits[1][:300].astype(int), tuple("0123456789"))
    workspace = build(manifest, digits[0][:300])
    rows = training_sample(workspace, "digits", manifest, 240, test_size=0.2, seed=0)
    # All near copies of one picture go where it goes: with the sample, to training or validation.
    clusters = np.arange(300) // 3 % 60
    groups = near_duplicates.groups

    def found(keys: np.ndarray, *rest: object, **more: object) -> near_duplicates.Groups:
        return replace(groups(keys, *rest, **more), group=clusters.astype(np.int32))  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "groups", found)
        division = divide(workspace, workspace.load("digits"), test_size=0.2, seed=0, shares="60/20/20")
        assert not (division.split.part[rows] == TEST).any() and (division.split.part[rows] == VAL).any()


def test_a_test_part_with_pictures_of_the_sample_is_told_of(
    digits: tuple[np.ndarray, np.ndarray], build: Callable[..., Workspace]
) -> None:
    manifest = make_manifest(digits[1][:300].astype(int), tuple("0123456789"))
    workspace = build(manifest, digits[0][:300])
    rows = training_sample(workspace, "digits", manifest, 50, test_size=0.2, seed=0)
    run = workspace.new_run(COMMAND)

    def notes(seed: int = 0, shares: str | None = None) -> list[str]:
        data = workspace.load("digits")
        return sample_notes(workspace, divide(workspace, data, test_size=0.2, seed=seed, shares=shares))

    def finish(backbone: str) -> None:
        record = {
            "parameters": {"seed": 0, "test_size": 0.2},
            "sample": [manifest.key[row].tobytes().hex() for row in rows],
            "result": {"backbones": [{"space": "ab" * 32, "backbone": backbone}]},
        }
        write_json(run / "run.json", record)

    assert notes(seed=1) == []  # a tournament that did not get to its end
    finish("another")
    assert notes(seed=1) == []
    finish(SPACE.backbone)
    assert notes() == notes(shares="60/20/20") == []
    part = divide(workspace, workspace.load("digits"), test_size=0.2, seed=1).split.part
    (note,) = notes(seed=1)
    seen = int((part[rows] == TEST).sum())
    assert seen and note.startswith(
        f"{seen} of {(part == TEST).sum()} pictures of the test part were in the sample"
    )
    assert "001-compare-backbones elected" in note and "With --seed 0 --test-size 0.2" in note
    result = fit_heads(workspace, FitOptions(["centroid"], seed=1, curve=False))
    assert note in result.notes
