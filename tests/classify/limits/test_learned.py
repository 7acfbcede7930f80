from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache.errors import UserError
from classify.limits import novelty
from classify.limits.checked import check_limits
from classify.limits.learned import FILE, Limits
from tests.classify.limits.test_novelty import chances, clouds

CLASSES, WIDTH = ["a", "b", "c", "d"], 3  # not told apart by all that little


def learned(n: int = 400, **also: np.ndarray) -> Limits:
    rows, codes = clouds(n, width=WIDTH)
    return Limits.learn(rows, codes, chances(rows, codes), also.get("group"), ((0, 1), (1, WIDTH)))


def test_limits_are_read_as_they_were_written(tmp_path: Path) -> None:
    limits, (rows, codes) = learned(), clouds(50, width=WIDTH, seed=1)
    limits.write(tmp_path)
    found, p = Limits.load(tmp_path), chances(rows, codes)
    assert (found.sets(p, Fraction(9, 10)) == limits.sets(p, Fraction(9, 10))).all()
    assert found.threshold(0.1) == limits.threshold(0.1)
    assert found.novelty.typical(rows, p) == pytest.approx(limits.novelty.typical(rows, p), abs=0)
    assert found.novelty.trial == limits.novelty.trial and found.novelty.name == limits.novelty.name
    first = (tmp_path / FILE).read_bytes()
    learned().write(tmp_path)
    assert (tmp_path / FILE).read_bytes() == first


def test_one_picture_of_each_group_counts() -> None:
    limits = learned(group=np.arange(400) // 2)
    assert len(limits.own) == len(limits.label) == len(limits.novelty.known) == 200
    rows, codes = clouds(400, width=WIDTH)
    own = chances(rows, codes)[np.arange(400), codes]
    place = np.argsort(own)[np.searchsorted(np.sort(own), limits.own)]  # which pictures were drawn
    assert (np.sort(place // 2) == np.arange(200)).all()
    assert 50 < (place % 2).sum() < 150  # by chance, and not the first


def test_of_many_pictures_and_classes_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, codes = clouds(500, 30)
    for name, most in (("CLASSES", 6), ("ROWS", 300), ("DRAWN", 100), ("SETS", 3)):
        monkeypatch.setattr(novelty, name, most)
    seen: list[np.ndarray] = []
    choose = novelty.choose
    monkeypatch.setattr(novelty, "choose", lambda *given: seen.append(given[1]) or choose(*given))
    limits = Limits.learn(rows, codes, chances(rows, codes), None)
    assert len(seen[0]) <= 100 and len(np.unique(seen[0])) == 6
    assert len(limits.own) == 500 and len(limits.novelty.known) == 300
    assert limits.novelty.trial.sets == 3 and limits.novelty.coordinates.basis.shape == (40, 33)


def test_a_run_without_limits_is_told_what_makes_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"limits.h5 .* found none: an older version .* Run `fit-head` again"):
        Limits.load(tmp_path)


def test_damage_is_told(tmp_path: Path) -> None:
    learned(60).write(tmp_path)
    with h5py.File(tmp_path / FILE, "r+") as file:
        file["own"][0] = 0.123
    with pytest.raises(UserError, match="SHA-256"):
        Limits.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"no HDF5")
    with pytest.raises(UserError, match="Run `fit-head` again"):
        Limits.load(tmp_path)


def test_a_test_part_is_held_against_them() -> None:
    rows, codes = clouds(2_000, width=WIDTH, seed=5)
    truth, p = np.array(CLASSES)[codes], chances(rows, codes)
    found = check_limits(learned(1_000), CLASSES, truth, p, rows)
    assert found.coverage is not None and found.coverage.n == 2_000
    assert found.coverage.low < 0.93 and found.coverage.high > 0.88
    assert set(found.classes) == set(CLASSES) and sum(each.n for each in found.classes.values()) == 2_000
    assert found.false_alarms.low < 0.02 and found.least == 1 / 1001
    for each in found.abstaining:
        assert each.wrong.value <= each.most and each.wrong.n == round(each.answered.value * 2_000)
    assert [each.most for each in found.abstaining] == [0.05]  # 1 and 2 % cannot be shown
    few = check_limits(learned(8), CLASSES, truth, p, rows)
    assert few.coverage is None and not few.abstaining and few.to_json()["coverage"] is None
    assert few.to_json()["trial"]["auroc"] is None or few.trial.sets
