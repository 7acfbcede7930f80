"""Whole groups to one side, classes as exact as the groups allow."""

import numpy as np
import pytest

from cache.manifest import TEST, TRAIN
from classify.data.stratification import allot


def digests(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**63, n).astype(np.uint64)


def share(
    label: list[int], group: list[int], test_size: float = 0.2, seed: int = 0, recorded=None
) -> np.ndarray:
    n = len(label)
    before = np.zeros(n, np.uint8) if recorded is None else np.array(recorded, np.uint8)
    part = allot(np.array(label), np.array(group), digests(n, seed), before, test_size)
    assert set(part.tolist()) <= {TRAIN, TEST} and part.dtype == np.uint8
    for one in set(group):
        assert len(set(part[np.array(group) == one].tolist())) == 1
    return part


@pytest.mark.parametrize("seed", range(5))
def test_small_groups_leave_the_shares_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 1, 1, 2, 3, 5], 600)
    owner = rng.integers(0, 4, 600)
    label, group = np.repeat(owner, sizes), np.repeat(np.arange(600), sizes)
    part = share(label.tolist(), group.tolist(), seed=seed)
    total = np.bincount(label)
    assert np.bincount(label[part == TEST]).tolist() == np.floor(total * 0.2 + 0.5).tolist()
    # Neither pairs nor single pictures are preferred, beyond what fits at the end.
    for size in (1, 2, 3, 5):
        assert 0.1 < (part[np.isin(group, np.flatnonzero(sizes == size))] == TEST).mean() < 0.32


def test_big_groups_come_as_near_as_they_can() -> None:
    # 3 groups of 10: of 6 wanted, 10 is nearer than none; of 3 wanted, none is nearer.
    label, group = [0] * 30 + [1] * 100, np.repeat([0, 1, 2], 10).tolist() + list(range(3, 103))
    for test_size, expected in ((0.2, 10), (0.1, 0), (0.4, 10), (0.5, 20)):
        part = share(label, group, test_size)
        assert (part[:30] == TEST).sum() == expected
        assert (part[30:] == TEST).sum() == round(100 * test_size)


def test_a_class_in_one_group_trains() -> None:
    part = share([0] * 10 + [1] * 10, [0] * 10 + list(range(1, 11)), 0.6)
    assert (part[:10] == TRAIN).all() and (part[10:] == TEST).sum() == 6


@pytest.mark.parametrize("seed", range(4))
def test_groups_of_several_classes_fill_the_test_part_too(seed: int) -> None:
    # 60 patients with about 20 pictures each, of three classes; and 300 pictures of nobody.
    rng = np.random.default_rng(seed)
    group = np.concatenate([rng.integers(0, 60, 1200), np.arange(60, 360)])
    label = rng.integers(0, 3, 1500)
    part = share(label.tolist(), group.tolist(), seed=seed)
    tested = np.bincount(label[part == TEST], minlength=3)
    assert np.abs(tested - np.floor(np.bincount(label) * 0.2 + 0.5)).max() <= 1
    assert 0.1 < (part[:1200] == TEST).mean() < 0.3


def test_only_groups_of_several_classes() -> None:
    group = np.repeat(np.arange(20), 10)
    label = np.tile([0, 0, 1, 1, 1, 1, 1, 2, 2, 2], 20)
    assert (share(label.tolist(), group.tolist()) == TEST).sum() == 40


def test_a_recorded_member_decides_and_test_wins() -> None:
    label = [0] * 40
    group = [0, 0, 1, 1, 2, 2, *range(3, 37)]
    recorded = [TEST, 0, TRAIN, 0, TRAIN, TEST] + [TRAIN] * 34
    part = share(label, group, recorded=recorded)
    assert part[:6].tolist() == [TEST, TEST, TRAIN, TRAIN, TEST, TEST]
    assert (part[6:] == TRAIN).all()


def test_a_bare_class_gets_its_smallest_group_back() -> None:
    label, group = [0] * 6 + [1] * 10, [0, 0, 0, 1, 2, 2, *range(3, 13)]
    part = share(label, group, recorded=[TEST] * 6 + [0] * 10)
    assert part[:6].tolist() == [TEST] * 3 + [TRAIN] + [TEST] * 2


def test_the_order_of_the_rows_and_the_numbers_of_the_groups_are_irrelevant() -> None:
    rng = np.random.default_rng(3)
    label, group, digest = rng.integers(0, 3, 300), rng.integers(0, 120, 300), digests(300)
    nothing = np.zeros(300, np.uint8)
    part = allot(label, group, digest, nothing, 0.2)
    order = rng.permutation(300)
    assert (allot(label[order], (group * 7 % 127)[order], digest[order], nothing, 0.2) == part[order]).all()
