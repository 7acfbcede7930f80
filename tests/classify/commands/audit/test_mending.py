"""Mended tables, and what mending is worth."""

import numpy as np
import pytest

from classify.commands.audit import mending
from classify.commands.audit.kinds.issue import Issue
from classify.commands.audit.mending import TRIALS, mended, worth
from classify.commands.audit.planted import altered
from classify.data.neighbours.search import among
from tests.classify.commands.audit.samples import labelled
from tests.classify.samples import make_manifest

Data = tuple[np.ndarray, np.ndarray]


def test_suspicious_labels_get_the_suggestion_and_others_stay() -> None:
    manifest = make_manifest(np.array([0, 1, 0, 1]), ("a", "b"))
    manifest.columns["camera"] = ["x", "y", "", "z"]
    issues = [
        Issue("label", 1, "a", 0.9, "", "b"),
        Issue("copy", 0, "a", 1, "", "b"),
        Issue("outlier", 1, "a", 5, ""),
        Issue("class", -1, "b", 0.9, ""),
    ]
    found = mended(manifest, np.array([1, 2, 3]), issues)  # the first picture has no row
    assert found.label.tolist() == [0, 1, 1, 1] and manifest.label.tolist() == [0, 1, 0, 1]
    assert found.columns == {
        "camera": ["x", "y", "", "z"],
        "label_was": ["", "", "a", ""],
        "issues": ["", "copy", "label outlier", ""],
    }
    twice = mended(found, np.array([1, 2, 3]), [])
    assert twice.columns["label_was"] == ["", "", "", ""]


@pytest.fixture(scope="module")
def polluted(digits: Data) -> tuple[np.ndarray, ...]:
    """Rows (600, 64), labels of which a fifth are wrong, and neighbours."""
    X, y = digits
    label, _ = altered(y.astype(np.int32), np.arange(600), np.arange(10), 120, 0)
    return X, label, among(X, 15).index


def test_where_a_head_learns_wrong_labels_by_heart_mending_is_worth_something(
    polluted: tuple[np.ndarray, ...],
) -> None:
    X, label, others = polluted
    found = worth(labelled(X, label, 10, voters=others), strength=10.0, seed=0)
    assert found is not None and found.n == 600 and set(found.accuracy) == set(TRIALS)
    assert 60 < found.suspicious < 140
    assert found.accuracy["left_out"] > found.accuracy["labelled"]
    first, second = found.comparisons
    assert first.difference == pytest.approx(found.accuracy["left_out"] - found.accuracy["labelled"])
    assert second.difference == pytest.approx(found.accuracy["changed"] - found.accuracy["labelled"])
    assert found.to_json()["comparisons"][0]["n"] == 600 and "worth of mending" in found.sentences()[0]


def test_a_picture_has_no_say_in_how_it_is_judged(
    polluted: tuple[np.ndarray, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, label, others = polluted
    seen, judge = [], mending.judge
    monkeypatch.setattr(
        mending, "judge", lambda given, *more: seen.append(given.copy()) or judge(given, *more)
    )
    worth(labelled(X, label, 10, voters=others), strength=1e-2, seed=0)
    held = np.stack([given == -1 for given in seen])
    assert len(seen) == 5 and (held.sum(axis=0) == 1).all()
    assert all((given[given >= 0] == label[given >= 0]).all() for given in seen)


def test_one_class_is_worth_nothing() -> None:
    alike = labelled(np.ones((30, 4), np.float32), np.zeros(30, np.int32), 1)
    assert worth(alike, strength=1.0, seed=0) is None
