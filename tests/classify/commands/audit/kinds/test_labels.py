"""Wrong labels: how many, which, and of which nothing is said."""

import numpy as np
import pytest

from classify.commands.audit.kinds import labels
from classify.commands.audit.kinds.labels import FEWEST, judge

C = 4


def noisy(
    n: int = 400, wrong: int = 20, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels (n,), probabilities (n, C) of the true classes, voters (n, 15), and which labels are wrong (n,)."""
    chance = np.random.default_rng(seed)
    truth = chance.integers(0, C, n)
    label, changed = truth.copy(), np.zeros(n, bool)
    rows = chance.choice(n, wrong, replace=False)
    label[rows], changed[rows] = (truth[rows] + chance.integers(1, C, wrong)) % C, True
    scores = chance.normal(size=(n, C))
    scores[np.arange(n), truth] += 4
    probability = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    voters = np.stack([chance.choice(np.flatnonzero(truth == code), 15) for code in truth])
    return label.astype(np.int32), probability.astype(np.float32), voters.astype(np.int32), changed


def test_the_number_of_wrong_labels_is_that_of_cleanlab() -> None:
    count = pytest.importorskip("cleanlab.count", reason="cleanlab is not installed")
    for seed in range(3):
        label, probability, voters, _ = noisy(seed=seed)
        joint = count.compute_confident_joint(label, probability, calibrate=False)
        rows = np.bincount(label, minlength=C)
        expected = (rows * (1 - np.diag(joint) / joint.sum(axis=1))).sum()
        assert judge(label, probability, voters).errors == pytest.approx(expected)


def test_planted_labels_come_first_and_votes_help() -> None:
    label, probability, voters, wrong = noisy()
    found = judge(label, probability, voters)
    first = found.ranked[: wrong.sum()]
    assert wrong[first].mean() >= 0.9
    assert set(found.flagged) <= set(found.ranked[: round(found.errors)])
    assert wrong[found.flagged].mean() > 0.8
    alone = judge(label, probability, np.full_like(voters, -1))
    assert wrong[first].sum() > wrong[alone.ranked[: wrong.sum()]].sum()
    own = probability[np.arange(len(label)), label]
    assert alone.ranked.tolist() == np.argsort(own, kind="stable").tolist()  # nobody votes: p(label) alone


def test_the_suggestion_is_the_most_probable_class_of_both() -> None:
    label, probability, voters, _ = noisy()
    found = judge(label, probability, voters)
    cast = np.stack([(label[voters] == code).sum(axis=1) for code in range(C)], axis=1)
    fused = probability * (cast + 1) / (cast.sum(axis=1, keepdims=True) + C)
    fused /= fused.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(found.suggested, fused.argmax(axis=1))
    np.testing.assert_allclose(found.suspicion, 1 - fused[np.arange(len(label)), label], atol=1e-6)
    np.testing.assert_array_equal(found.votes, cast[np.arange(len(label)), found.suggested])
    assert (found.suggested[found.flagged] != label[found.flagged]).all()


def test_nothing_is_said_of_pictures_without_label_answers_or_a_class_large_enough() -> None:
    label, probability, voters, _ = noisy()
    label[label == 3] = 2
    label[: FEWEST - 1] = 3  # too few
    label[10:15] = -1
    probability[20:25] = np.nan
    found = judge(label, probability, voters)
    silent = np.isnan(found.suspicion)
    assert silent[: FEWEST - 1].all() and silent[10:15].all() and silent[20:25].all()
    assert silent.sum() == FEWEST - 1 + 10
    assert not silent[found.ranked].any() and np.isfinite(found.errors)
    label[FEWEST - 1] = 3
    assert not np.isnan(judge(label, probability, voters).suspicion[:FEWEST]).any()


def test_no_labels_no_judgement() -> None:
    nothing = judge(np.full(6, -1), np.full((6, 2), np.nan), np.full((6, 15), -1))
    assert nothing.errors == 0 and not len(nothing.ranked) and not len(nothing.flagged)


def test_rows_are_judged_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    given = noisy()[:3]
    whole = judge(*given)
    monkeypatch.setattr(labels, "_CELLS", 7 * C)
    parts = judge(*given)
    np.testing.assert_array_equal(parts.ranked, whole.ranked)
    assert parts.errors == whole.errors


def test_five_thousand_classes_are_judged() -> None:
    chance = np.random.default_rng(0)
    classes, n = 5_000, 5_000
    label = np.repeat(np.arange(1_000, dtype=np.int32), 5)
    probability = np.zeros((n, classes), np.float32)
    probability[np.arange(n), label] = 0.9
    changed = chance.choice(n, 50, replace=False)
    label[changed] = (label[changed] + 1) % 1_000
    found = judge(label, probability, np.full((n, 15), -1, np.int32))
    counts = np.bincount(label, minlength=classes)
    assert set(found.ranked[: (counts[label[changed]] >= FEWEST).sum()]) <= set(changed)
