"""Errors planted on purpose: which labels change, and what is counted."""

import numpy as np

from classify.commands.audit.evidence import without_copies
from classify.commands.audit.head import out_of_fold
from classify.commands.audit.kinds.labels import judge
from classify.commands.audit.planted import Planted, altered, plant
from classify.data.neighbours.search import among
from classify.metrics.intervals import wilson
from tests.classify.commands.audit.samples import labelled

Data = tuple[np.ndarray, np.ndarray]


def test_as_many_labels_change_as_are_asked_each_to_another_class() -> None:
    label = np.array([0, 1, 2, 0, 1, 2, 3, -1] * 10, np.int32)
    rows = np.flatnonzero((label >= 0) & (label < 3))
    changed, wrong = altered(label, rows, np.array([0, 1, 2]), 12, seed=3)
    assert (
        wrong.sum() == 12 and ((changed != label) == wrong).all() and set(np.flatnonzero(wrong)) <= set(rows)
    )
    assert set(changed[wrong]) <= {0, 1, 2}
    again, other = (
        altered(label, rows, np.array([0, 1, 2]), 12, seed=3)[0],
        altered(label, rows, np.arange(3), 12, seed=4)[0],
    )
    assert (again == changed).all() and (other != changed).any()


def test_planted_labels_are_found_and_counted(digits: Data) -> None:
    X, y = digits
    label, group = y.astype(np.int32), np.arange(len(y))
    others = without_copies(among(X, 15), group).index
    data = labelled(X, label, 10, group, others)
    found = plant(data, share=0.05, seeds=2, seed=0)
    assert found is not None and found.each == 30 and len(found.hits) == 2
    value, low, high = found.at_number
    assert value == sum(found.hits) / 60 > 0.8 and low < value < high
    assert (low, high) == tuple(map(float, wilson(sum(found.hits), 60)))
    assert found.recall[0] == sum(found.found) / 60 > 0.8
    assert found.precision[0] == sum(found.found) / sum(found.flagged)
    changed, wrong = altered(label, np.arange(len(y)), np.arange(10), 30, 0)
    first = judge(changed, out_of_fold(data.with_labels(changed)).probability, others)
    assert found.flagged[0] == len(first.flagged) and found.found[0] == wrong[first.flagged].sum()
    assert found.hits[0] == wrong[first.ranked[:30]].sum()
    again = plant(data, share=0.05, seeds=1, seed=1)
    assert again is not None and again.each == 30 and abs(again.hits[0] - found.hits[1]) <= 1  # the same copy


def test_the_users_labels_stay(digits: Data) -> None:
    X, y = digits
    label = y.astype(np.int32)
    before = label.copy()
    plant(labelled(X, label, 10, voters=among(X, 15).index), share=0.1, seeds=1, seed=0)
    assert (label == before).all()


def test_nothing_is_planted_in_one_class_or_in_less_than_a_picture() -> None:
    alike = labelled(np.ones((30, 4), np.float32), np.zeros(30, np.int32), 1)
    assert plant(alike, share=0.05, seeds=1, seed=0) is None
    X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    assert plant(labelled(X, np.arange(20) % 2, 2), share=0.01, seeds=1, seed=0) is None


def test_what_is_found_is_told_in_words_and_numbers() -> None:
    found = Planted(0.05, 100, (80, 90), (110, 120), (70, 95), 0.01)
    told = " ".join(found.sentences())
    assert "100 wrong labels (5.0%) in each of 2 copies" in told and "85.0% are planted" in told
    assert "80% to 90% by copy" in told and "n = 200" in told and "n = 230" in told
    assert found.to_json()["recall"]["value"] == 165 / 200
    assert found.to_json()["by_seed"] == [0.8, 0.9]
