"""Classes to look at."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cache.storage.store import Store
from classify.commands.audit.kinds.classes import SMALL, class_issues
from classify.commands.audit.kinds.issue import Issue
from extract.pictures.facts import Facts
from tests.classify.commands.audit.samples import evidence, unknown
from tests.classify.samples import SPACE, make_manifest


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / SPACE.id, SPACE)


def issues(store: Store, counts: dict[str, int], *pairs: tuple[int, int], **known: Facts) -> list[Issue]:
    label = np.repeat(np.arange(len(counts)), list(counts.values()))
    rows = np.random.default_rng(0).normal(size=(len(label), 8)).astype(np.float32)
    return class_issues(evidence(make_manifest(label, tuple(counts)), rows, store, *pairs, **known))


def test_small_and_uneven_classes_are_named(store: Store) -> None:
    found = issues(store, {"many": 401, "some": 40, "one": 1, "enough": 41})
    assert [each.label for each in found] == ["one", "some"]
    assert "1 distinct picture:" in found[0].why and "10 times" in found[1].why
    assert all(each.row == -1 for each in found)


def test_copies_count_once(store: Store) -> None:
    assert issues(store, {"a": SMALL, "b": SMALL}) == []
    assert [each.label for each in issues(store, {"a": SMALL, "b": SMALL}, (0, 1))] == ["a"]


def test_a_class_without_pictures_is_named(store: Store) -> None:
    assert [each.label for each in issues(store, {"a": 30, "none": 0})] == ["none"]


def test_brightness_that_tells_a_class_apart_is_named(store: Store) -> None:
    chance = np.random.default_rng(0)
    known = unknown(180)
    counts = {"day": 60, "night": 60, "dusk": 60}
    brightness = chance.normal(0.5, 0.1, 180).astype(np.float32)
    assert issues(store, counts, facts=replace(known, brightness=brightness)) == []
    brightness[60:120] -= 0.4
    brightness[0] = np.nan  # unknown
    (found,) = issues(store, counts, facts=replace(known, brightness=brightness))
    assert found.label == "night" and found.why.startswith("darker")
    label = np.repeat([0, 1, 0], 60)[1:]
    assert found.score == pytest.approx(roc_auc_score(label, -brightness[1:]))
