"""Odd ones out: far from all, or from their class."""

import numpy as np
import pytest

from cache.storage.store import Store
from classify.commands.audit.kinds.outliers import distances, outlier_issues, robust_score
from tests.classify.commands.audit.samples import evidence
from tests.classify.samples import SPACE, make_manifest


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / SPACE.id, SPACE)


def clouds(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes around two directions, rows (n, 64) and labels (n,)."""
    chance = np.random.default_rng(seed)
    label = np.arange(n) % 2
    rows = chance.normal(scale=0.3, size=(n, 64))
    rows[:, 0] += np.where(label == 0, 3, 0)
    rows[:, 1] += np.where(label == 1, 3, 0)
    return rows.astype(np.float32), label


def test_pictures_of_something_else_are_odd(store: Store) -> None:
    rows, label = clouds()
    chance = np.random.default_rng(1)
    rows[[3, 50, 120]] = 3 * np.eye(64, dtype=np.float32)[[5, 20, 40]] + chance.normal(
        scale=0.1, size=(3, 64)
    )
    found = outlier_issues(evidence(make_manifest(label, ("a", "b")), rows, store))
    assert {each.row for each in found} == {3, 50, 120}
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert all("above the median of" in each.why and each.kind == "outlier" for each in found)


def test_a_picture_may_be_odd_in_its_class_alone(store: Store) -> None:
    rows, label = clouds(400)
    tight = label == 0
    rows[tight] = rows[tight] * np.float32(0.2)
    rows[tight, 0] += 3
    rows[0, 2:] += np.float32(0.35)  # as far from its own as the others of class b are from theirs
    known = evidence(make_manifest(label, ("tight", "loose")), rows, store)
    found = {each.row: each for each in outlier_issues(known)}
    assert robust_score(distances(known))[0] < 3.5
    assert 0 in found and "of tight" in found[0].why


def test_near_copies_do_not_hide_one_another(store: Store) -> None:
    rows, label = clouds()
    rows[[3, 5]] = 3 * np.eye(64, dtype=np.float32)[7]
    manifest = make_manifest(label, ("a", "b"))
    alone = distances(evidence(manifest, rows, store))
    paired = distances(evidence(manifest, rows, store, (3, 5)))
    assert paired[3] > alone[3] and paired[0] == alone[0]


def test_one_picture_and_equal_pictures_are_not_odd(store: Store) -> None:
    one = evidence(make_manifest(np.zeros(1, int), ("a",)), np.ones((1, 64), np.float32), store)
    assert np.isnan(distances(one)).all() and outlier_issues(one) == []
    same = evidence(make_manifest(np.zeros(30, int), ("a",)), np.ones((30, 64), np.float32), store)
    assert outlier_issues(same) == []
