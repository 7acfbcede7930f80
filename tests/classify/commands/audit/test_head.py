"""The quick head: probabilities of pictures that its models had not seen."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from classify.commands.audit.head import FOLDS, out_of_fold
from classify.heads.fitting.scaling import LengthScaler
from classify.heads.folds import cross_validation_folds
from tests.classify.commands.audit.samples import labelled

Data = tuple[np.ndarray, np.ndarray]


def test_each_picture_is_answered_by_a_model_that_had_not_seen_it(digits: Data) -> None:
    X, y = digits
    label, group = y.astype(np.int32), np.arange(len(y))
    found = out_of_fold(labelled(X, label, 10, group), strengths=(1e-2,))
    Z = LengthScaler().fit_transform(X)
    answers = np.empty(len(y), int)
    for fit, held in cross_validation_folds(label, FOLDS, 0, group):
        model = LogisticRegression(C=1e-2, max_iter=1000).fit(Z[fit], label[fit])
        answers[held] = model.predict(Z[held])
    assert (found.probability.argmax(axis=1) == answers).mean() > 0.99
    np.testing.assert_allclose(found.probability.sum(axis=1), 1, atol=1e-5)


def test_a_copy_does_not_give_a_label_away(digits: Data) -> None:
    X, y = digits
    label = y.astype(np.int32)
    twice, labels = np.concatenate([X, X[:50]]), np.concatenate([label, label[:50]])
    labels[600:] = labels[:50] = (label[:50] + 1) % 10  # both copies are wrong
    apart = out_of_fold(labelled(twice, labels, 10), strengths=(1e-1,))
    kept = out_of_fold(labelled(twice, labels, 10, np.r_[np.arange(600), np.arange(50)]), strengths=(1e-1,))
    own = np.arange(50), labels[:50]
    assert kept.probability[own].mean() < apart.probability[own].mean()


def test_the_strength_is_the_one_with_the_lowest_loss(digits: Data) -> None:
    X, y = digits
    label, group = y.astype(np.int32), np.arange(len(y))
    strengths = (1e-6, 1e-2, 1e-1)
    losses = []
    for strength in strengths:
        p = out_of_fold(labelled(X, label, 10, group), strengths=(strength,)).probability
        losses.append(-np.log(p[np.arange(len(y)), label]).mean())
    found = out_of_fold(labelled(X, label, 10, group), strengths=strengths)
    assert found.strength == strengths[int(np.argmin(losses))]


def test_small_classes_and_pictures_without_a_label_have_no_answers(digits: Data) -> None:
    X, y = digits
    label = y.astype(np.int32)
    label[label == 7] = -1
    nine = np.flatnonzero(label == 9)
    label[nine[5:]] = 8  # five pictures, but two of them copies
    group = np.arange(len(y))
    assert labelled(X, label, 10, group).learnable[nine[0]]
    group[nine[1]] = nine[0]
    assert not labelled(X, label, 10, group).learnable[nine[:5]].any()
    found = out_of_fold(labelled(X, label, 10, group), strengths=(1e-2,)).probability
    silent = np.isnan(found).any(axis=1)
    assert silent[label == -1].all() and silent[nine[:5]].all() and silent.sum() == (label == -1).sum() + 5
    assert (found[~silent][:, [7, 9]] == 0).all()


@pytest.mark.parametrize("classes", [0, 1])
def test_one_class_is_nothing_to_learn(classes: int) -> None:
    label = np.full(30, classes - 1, np.int32)
    found = out_of_fold(labelled(np.ones((30, 4), np.float32), label, 1))
    assert np.isnan(found.probability).all()
