from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from classify.data.split_record import Assignments
from classify.data.splits import TEST, TRAIN, VAL, split
from tests.classify.samples import make_manifest


def joined(a: Manifest, b: Manifest) -> Manifest:
    names = ("label", "split", "key", "size", "mtime_ns")
    columns = (np.concatenate([getattr(m, name) for m in (a, b)]) for name in names)
    return Manifest(a.root, a.classes, [*a.paths, *b.paths], *columns)


def held(manifest: Manifest, part: np.ndarray) -> np.ndarray:
    return np.bincount(manifest.label[part == TEST], minlength=len(manifest.classes))


@pytest.fixture
def manifest() -> Manifest:
    return make_manifest(np.repeat([0, 1, 2, 3, 4], [1, 2, 7, 50, 1001]), tuple("abcde"))


@pytest.mark.parametrize("test_size", [0.1, 0.2, 0.5, 0.9])
def test_each_class_is_divided_exactly(manifest: Manifest, test_size: float) -> None:
    part = split(manifest, test_size=test_size).part
    total = np.bincount(manifest.label)
    assert set(part) == {TRAIN, TEST}
    assert (np.abs(held(manifest, part) - total * test_size) <= 1).all()
    assert (held(manifest, part) < total).all()


def test_seeds_differ_and_repeat(manifest: Manifest) -> None:
    one, again, other = (split(manifest, seed=seed).part for seed in (0, 0, 1))
    assert (one == again).all() and (one != other).any()


def test_the_order_of_the_rows_is_irrelevant(manifest: Manifest) -> None:
    order = np.random.default_rng(0).permutation(len(manifest))
    assert (split(manifest.select(order)).part == split(manifest).part[order]).all()


@pytest.mark.parametrize("added", [1, 40, 3000])
def test_added_pictures_leave_the_old_ones_where_they_are(manifest: Manifest, added: int) -> None:
    first = split(manifest)
    more = joined(make_manifest(np.full(added, 3), manifest.classes, seed=1), manifest)
    # Without the record the test part of the bigger class would be drawn anew.
    second = split(more, previous=first.assigned)
    assert (second.part[added:] == first.part).all()
    assert (np.abs(held(more, second.part) - np.bincount(more.label) * 0.2) <= 1).all()
    if added == 3000:
        assert (split(more).part[added:] != first.part).any()


def test_a_picture_that_comes_back_keeps_its_part(manifest: Manifest) -> None:
    first = split(manifest)
    fewer = split(manifest.select(np.arange(500, len(manifest))), previous=first.assigned)
    assert (split(manifest, previous=fewer.assigned).part == first.part).all()


def test_a_class_left_with_test_pictures_only_gives_one_to_training(manifest: Manifest) -> None:
    first = split(manifest)
    kept = manifest.select((first.part == TEST) | (manifest.label == 4))
    part = split(kept, previous=first.assigned).part
    of_d = part[kept.label == 3]
    assert len(of_d) == 10 and (of_d == TRAIN).sum() == 1


def test_identical_pictures_are_on_one_side(manifest: Manifest) -> None:
    rows = np.concatenate([np.arange(len(manifest)), np.repeat(np.arange(100, 200), 3)])
    twins = manifest.select(rows)
    part = split(twins).part
    for key in np.unique(twins.key, axis=0)[:300]:
        assert len(set(part[(twins.key == key).all(axis=1)])) == 1


def test_conflicting_and_unlabelled_rows_are_left_out_and_counted(manifest: Manifest) -> None:
    manifest.key[100] = manifest.key[10]  # classes d and e
    manifest.label[[200, 201, 202]] = -1
    found = split(manifest)
    assert np.flatnonzero(found.part == 0).tolist() == [10, 100, 200, 201, 202]
    assert found.notes == [
        "2 rows left out: the same picture carries two labels",
        "3 rows left out: no label",
    ]
    assert found.counts() == {
        "left out": 5,
        "train": int((found.part == TRAIN).sum()),
        "test": int((found.part == TEST).sum()),
    }


def with_parts(parts: list[str]) -> Manifest:
    manifest = make_manifest(np.arange(len(parts)) % 2, ("a", "b"))
    manifest.split[:] = [SPLITS.index(part) for part in parts]
    return manifest


def test_a_split_of_its_own_is_kept() -> None:
    manifest = with_parts(["train"] * 4 + ["val"] * 2 + ["test"] * 3)
    found = split(manifest)
    assert (found.part == manifest.split).all() and found.assigned is None
    assert found.notes == ["2 val rows are kept for fine-tuning and train no head"]


def test_val_serves_where_there_is_no_test() -> None:
    found = split(with_parts(["train"] * 4 + ["val"] * 2 + [""]))
    assert found.part.tolist() == [TRAIN] * 4 + [TEST] * 2 + [TRAIN]
    assert "val part serves as the test part" in found.notes[0]
    assert found.notes[1].startswith("1 row without a part")


def test_train_alone_is_divided() -> None:
    found = split(with_parts(["train"] * 20))
    assert (found.part == TEST).sum() == 4 and found.assigned is not None


def test_a_test_picture_never_trains_even_when_its_folder_says_so() -> None:
    manifest = with_parts(["train"] * 4 + ["val"] * 2 + ["test"] * 2)
    manifest.key[0] = manifest.key[6]
    manifest.key[1] = manifest.key[5]
    found = split(manifest)
    assert found.part.tolist() == [0, 0, TRAIN, TRAIN, VAL, VAL, TEST, TEST]
    assert any(note.startswith("2 rows left out of training or val") for note in found.notes)


@pytest.mark.parametrize("labels", [[], [-1, -1, -1], [0, 0, 1, 1]])
def test_an_empty_part_is_refused(labels: list[int]) -> None:
    with pytest.raises(UserError, match="for training and for testing"):
        split(make_manifest(np.array(labels, int), ("a", "b")))


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("table", ["labels.csv", ""])
def test_parts_of_its_own_without_training_rows_are_refused(part: str, table: str) -> None:
    told = (
        r"by the column split of labels\.csv\. Write 'train'"
        if table
        else r"folders of parts\. Put pictures into"
    )
    with pytest.raises(UserError, match=rf"received 0 and 20 from 20 labelled pictures, .*{told}") as caught:
        split(replace(with_parts([part] * 20), table=table))
    assert "test-size" not in str(caught.value)


def test_an_empty_part_names_no_option() -> None:
    with pytest.raises(UserError, match=r"with 12\.5 % of each class to be tested\. Add pictures") as caught:
        split(make_manifest(np.array([0, 1]), ("a", "b")), test_size=0.125)
    assert "--" not in str(caught.value)


@pytest.mark.parametrize("test_size", [0, 1, -0.5, 20])
def test_a_fraction_is_a_fraction(manifest: Manifest, test_size: float) -> None:
    with pytest.raises(UserError, match="--test-size between 0 and 1"):
        split(manifest, test_size=test_size)


def test_the_record_survives_the_disk(manifest: Manifest, tmp_path: Path) -> None:
    path = Assignments.path(tmp_path, "my/flowers \udcff", 0, 0.2)
    assert path.parent.parent == tmp_path
    assert Assignments.load(path) is None
    assigned = split(manifest).assigned
    assert assigned is not None
    assigned.save(path)
    again = Assignments.load(path)
    assert again is not None
    assert (again.key == assigned.key).all() and (again.part == assigned.part).all()
    assert (np.diff([int.from_bytes(key.tobytes()) >> 192 for key in again.key]) >= 0).all()


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "record.h5"
    path.write_bytes(b"not HDF5")
    with pytest.raises(UserError, match=r"record\.h5, but it is damaged"):
        Assignments.load(path)


def pairs_of(manifest: Manifest, seed: int = 0) -> np.ndarray:
    """Groups of two, three and four rows of one class, and rows alone."""
    rng = np.random.default_rng(seed)
    return manifest.label * 1000 + rng.integers(0, 1 + np.bincount(manifest.label)[manifest.label] // 2)


def test_without_groups_the_split_is_what_it_was(manifest: Manifest) -> None:
    plain = split(manifest)
    assert (plain.group == np.arange(len(manifest))).all() and plain.group.dtype == np.int32
    assert (split(manifest, groups=np.full(len(manifest), -1)).part == plain.part).all()
    assert (split(manifest, groups=np.arange(len(manifest))).part == plain.part).all()


def test_groups_stay_together_and_classes_exact(manifest: Manifest) -> None:
    groups = pairs_of(manifest)
    found = split(manifest, groups=groups)
    assert len(np.unique(found.group)) == len(np.unique(groups)) < len(manifest)
    for group in np.unique(groups):
        assert len(set(found.part[groups == group])) == 1
    total = np.bincount(manifest.label)
    assert (np.abs(held(manifest, found.part) - total * 0.2) <= 1).all()
    assert any(len(set(split(manifest).part[groups == group])) > 1 for group in np.unique(groups))


def test_identical_pictures_join_groups(manifest: Manifest) -> None:
    manifest.key[201] = manifest.key[200]
    groups = np.full(len(manifest), -1)
    groups[[100, 200]], groups[[201, 300]] = 0, 1
    found = split(manifest, groups=groups)
    assert len(set(found.group[[100, 200, 201, 300]])) == len(set(found.part[[100, 200, 201, 300]])) == 1


def test_a_copy_that_arrives_follows_the_recorded_picture(manifest: Manifest) -> None:
    first = split(manifest)
    more = joined(manifest, make_manifest(np.full(200, 4), manifest.classes, seed=1))
    groups = np.arange(len(more))
    groups[len(manifest) :] = np.flatnonzero(manifest.label == 4)[:200]
    second = split(more, previous=first.assigned, groups=groups)
    assert (second.part[: len(manifest)] == first.part).all()
    assert (second.part[len(manifest) :] == first.part[groups[len(manifest) :]]).all()
    assert second.notes == []


def test_what_was_tested_never_trains_when_a_bridge_arrives(manifest: Manifest) -> None:
    first = split(manifest)
    of_e = np.flatnonzero(manifest.label == 4)
    a, b = of_e[first.part[of_e] == TRAIN][0], of_e[first.part[of_e] == TEST][0]
    groups = np.full(len(manifest), -1)
    groups[[a, b]] = 0
    second = split(manifest, previous=first.assigned, groups=groups)
    assert np.flatnonzero(second.part != first.part).tolist() == [a] and second.part[a] == TEST
    assert second.notes == ["1 picture moved from training to test: one of the same group was tested before"]
    third = split(manifest, previous=second.assigned, groups=groups)
    assert (third.part == second.part).all() and third.notes == []


def test_a_split_of_its_own_loses_rows_whose_group_is_tested() -> None:
    manifest = with_parts(["train"] * 4 + ["val"] * 2 + ["test"] * 2)
    found = split(manifest, groups=np.array([0, 1, 2, 3, 1, -1, 0, 9]))
    assert found.part.tolist() == [0, 0, TRAIN, TRAIN, VAL, VAL, TEST, TEST]
    assert any(note.startswith("2 rows left out of training or val") for note in found.notes)


def test_one_group_for_all_is_refused_by_its_size(manifest: Manifest) -> None:
    with pytest.raises(UserError, match="1061 of them in one group"):
        split(manifest, groups=np.zeros(len(manifest), int))


def test_a_column_to_group_by_has_a_record_of_its_own(tmp_path: Path) -> None:
    plain, grouped = (Assignments.path(tmp_path, "a", 0, 0.2, by) for by in ("", "pati/ent"))
    assert plain != grouped and plain.parent == grouped.parent and plain.name == "a-0-0.2.h5"


def of(part: np.ndarray, manifest: Manifest, code: int) -> np.ndarray:
    return np.bincount(manifest.label[part == code], minlength=len(manifest.classes))


@pytest.mark.parametrize(("val_size", "test_size"), [(0.1, 0.1), (0.25, 0.25), (0.05, 0.3), (0.4, 0.3)])
def test_a_validation_part_is_divided_exactly(manifest: Manifest, val_size: float, test_size: float) -> None:
    found = split(manifest, val_size=val_size, test_size=test_size)
    total = np.bincount(manifest.label)
    assert set(found.part) == {TRAIN, VAL, TEST}
    assert (np.abs(of(found.part, manifest, VAL) - total * val_size) <= 1).all()
    assert (of(found.part, manifest, TRAIN) > 0).all()
    # The test part is the same with and without one.
    assert ((found.part == TEST) == (split(manifest, test_size=test_size).part == TEST)).all()
    assert f"{(found.part == VAL).sum()} val rows are kept for fine-tuning and train no head" in found.notes


@pytest.mark.parametrize("added", [1, 40, 3000])
def test_added_pictures_leave_the_validation_part_where_it_is(manifest: Manifest, added: int) -> None:
    first = split(manifest, val_size=0.1, test_size=0.1)
    more = joined(make_manifest(np.full(added, 3), manifest.classes, seed=1), manifest)
    second = split(more, val_size=0.1, test_size=0.1, previous=first.assigned)
    assert (second.part[added:] == first.part).all()
    for code in (VAL, TEST):
        assert (np.abs(of(second.part, more, code) - np.bincount(more.label) * 0.1) <= 1).all()
    if added == 3000:
        assert (split(more, val_size=0.1, test_size=0.1).part[added:] != first.part).any()


def test_groups_are_in_one_of_the_three_parts(manifest: Manifest) -> None:
    groups = np.random.default_rng(0).integers(0, 300, len(manifest))
    found = split(manifest, val_size=0.2, test_size=0.2, groups=groups)
    assert all(len(set(found.part[groups == one])) == 1 for one in set(groups.tolist()))
    for code in (VAL, TEST):
        assert abs((found.part == code).mean() - 0.2) < 0.03
    # What comes to connect a group of each part goes to the latest of them.
    first = split(manifest, val_size=0.2, test_size=0.2)
    rows = [np.flatnonzero(first.part == code)[-3:] for code in (TRAIN, VAL, TEST)]
    for joint, expected in ((rows[:2], VAL), (rows[1:], TEST), (rows, TEST)):
        groups = np.full(len(manifest), -1)
        groups[np.concatenate(joint)] = 0
        again = split(manifest, val_size=0.2, test_size=0.2, previous=first.assigned, groups=groups).part
        assert (again[np.concatenate(joint)] == expected).all()


def test_a_validation_part_that_rounds_to_nothing_is_refused() -> None:
    manifest = make_manifest(np.repeat([0, 1], 6), ("a", "b"))
    with pytest.raises(UserError, match=r"for validation, received none: 0\.05 of each class .* --split"):
        split(manifest, val_size=0.05, test_size=0.4)


def test_records_of_other_shares_are_other_files(tmp_path: Path) -> None:
    paths = [
        Assignments.path(tmp_path, "a", 0, 0.1),
        Assignments.path(tmp_path, "a", 0, 0.1, val_size=0.1),
        Assignments.path(tmp_path, "a", 0, 0.1, "0.1"),
        Assignments.path(tmp_path, "a", 0, 0.1, "+0.1"),
        Assignments.path(tmp_path, "a", 0, 0.1, "g", val_size=0.1),
    ]
    assert len(set(paths)) == 5 and paths[0].name == "a-0-0.1.h5" and paths[1].name == "a-0-0.1+0.1.h5"
