"""Copies that contradict one another."""

import numpy as np
import pytest

from cache.manifest import TEST, TRAIN
from cache.storage.store import Store
from classify.commands.audit.kinds.copies import copy_issues
from tests.classify.commands.audit.samples import evidence
from tests.classify.samples import SPACE, make_manifest

ROWS = np.random.default_rng(0).normal(size=(12, 64)).astype(np.float32)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / SPACE.id, SPACE)


def test_copies_of_one_label_in_one_part_are_no_issue(store: Store) -> None:
    manifest = make_manifest(np.arange(12) % 2, ("a", "b"))
    assert copy_issues(evidence(manifest, ROWS, store, (0, 2), (1, 3))) == []


def test_copies_of_two_labels_are_named_with_what_most_say(store: Store) -> None:
    manifest = make_manifest(np.arange(12) % 2, ("a", "b"))
    found = copy_issues(evidence(manifest, ROWS, store, (0, 1), (0, 2), (4, 5)))
    assert {each.row for each in found} == {0, 1, 2, 4, 5}
    assert {each.row: each.suggested for each in found} == {0: "", 1: "a", 2: "", 4: "", 5: ""}
    why = next(each.why for each in found if each.row == 1)
    assert "a near copy of 0/0.png" in why and "3 copies labelled" in why


def test_copies_in_two_parts_are_named(store: Store) -> None:
    manifest = make_manifest(np.zeros(12, int), ("a",))
    manifest.split[:6], manifest.split[6:] = TRAIN, TEST
    found = copy_issues(evidence(manifest, ROWS, store, (0, 7), (1, 2), (8, 9)))
    assert {each.row for each in found} == {0, 7}
    assert all("in the parts train and test" in each.why and each.suggested == "" for each in found)


def test_the_same_bytes_are_alike_in_full(store: Store) -> None:
    manifest = make_manifest(np.arange(12) % 2, ("a", "b"))
    manifest.key[1] = manifest.key[0]
    found = copy_issues(evidence(manifest, ROWS, store, (0, 1), (4, 5)))
    assert [each.score for each in found] == [1, 1, pytest.approx(0.95), pytest.approx(0.95)]
    assert found[0].why.startswith("the same picture as") and found[2].why.startswith("a near copy of")
