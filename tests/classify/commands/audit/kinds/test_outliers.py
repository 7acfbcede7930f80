"""Odd ones out: far from all, or from their class."""

import numpy as np
import pytest

from cache.storage.store import Store
from classify.commands.audit.kinds.outliers import LEAST, SHRINKAGE, distances, outlier_issues, robust_score
from classify.data.neighbours.directions import Directions
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
    assert all("than the median of" in each.why and each.kind == "outlier" for each in found)


def test_a_picture_may_be_odd_in_its_class_alone(store: Store) -> None:
    rows, label = clouds(400)
    tight = label == 0
    rows[tight, 2:] *= np.float32(0.2)
    rows[0, 2:] *= 6  # as far from its own as the others of class b are from theirs
    known = evidence(make_manifest(label, ("tight", "loose")), rows, store)
    found = {each.row: each for each in outlier_issues(known)}
    assert robust_score(distances(known))[0] < LEAST
    assert 0 in found and "median of tight" in found[0].why


def test_the_distance_is_the_one_without_the_picture_itself(store: Store) -> None:
    rows, label = clouds(60)
    known = evidence(make_manifest(label, ("a", "b")), rows, store)
    unit = Directions.around(rows, np.arange(60)).of(rows).astype(float)
    means = np.stack([unit[label == code].mean(axis=0) for code in (0, 1)])
    apart = unit - means[label]
    whole = apart.T @ apart / 60
    shrunk = SHRINKAGE * np.trace(whole) / 64 * np.eye(64)
    for row in (0, 7):
        within = (1 - SHRINKAGE) * (whole - np.outer(apart[row], apart[row]) / 60) + shrunk
        square = [(unit[row] - mean) @ np.linalg.solve(within, unit[row] - mean) for mean in means]
        assert distances(known)[row] == pytest.approx(np.sqrt(min(square)), rel=1e-3)


def test_pictures_without_a_label_count(store: Store) -> None:
    rows, label = clouds()
    manifest = make_manifest(label, ("a", "b"))
    manifest.label[:] = -1
    rows[3] = 3 * np.eye(64, dtype=np.float32)[5]
    found = outlier_issues(evidence(manifest, rows, store))
    assert [each.row for each in found] == [3] and found[0].label == ""


def test_one_picture_and_equal_pictures_are_not_odd(store: Store) -> None:
    for n in (1, 30):
        rows = np.ones((n, 64), np.float32)
        assert outlier_issues(evidence(make_manifest(np.zeros(n, int), ("a",)), rows, store)) == []
