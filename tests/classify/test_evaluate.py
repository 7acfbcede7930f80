import json

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn import metrics

from classify.evaluate import Evaluation, evaluate, tie, wilson


def example(n: int = 200, classes: str = "abcd") -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    names = np.array(list(classes))
    code = rng.integers(0, len(names) - 1, n)  # the last class never occurs
    probability = softmax(rng.normal(size=(n, len(names))) + 2 * np.eye(len(names))[code], axis=1)
    probability[:, -1] = 0
    probability /= probability.sum(axis=1, keepdims=True)
    return names[code], names[probability.argmax(axis=1)], probability, names


def test_the_figures_are_scikit_learns() -> None:
    truth, predicted, probability, names = example()
    found = evaluate(truth, predicted, probability, names)
    assert found.n == 200
    assert found.accuracy == metrics.accuracy_score(truth, predicted)
    assert found.macro_f1 == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
    assert found.log_loss == pytest.approx(metrics.log_loss(truth, probability, labels=names))
    theirs = metrics.precision_recall_fscore_support(truth, predicted, labels=names, zero_division=0)
    for ours, other in zip((found.precision, found.recall, found.f1, found.support), theirs, strict=True):
        assert np.allclose(ours, other)
    assert (found.confusion == metrics.confusion_matrix(truth, predicted, labels=names)).all()


def test_a_class_the_head_never_saw_is_an_error() -> None:
    truth, predicted, probability, names = example(50)
    before = evaluate(truth, predicted, probability, names)
    truth = truth.astype("U2")
    truth[predicted == truth] = "aa"  # sorts between the known names
    found = evaluate(truth, predicted, probability, names)
    assert found.accuracy == 0 and found.classes == ("a", "aa", "b", "c", "d")
    assert found.recall[1] == 0 and found.support[1] == round(before.accuracy * 50)
    assert np.isfinite(found.log_loss) and found.log_loss > before.log_loss


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (7, 10), (590, 644), (1, 1)])
def test_wilson_is_scipys(hits: int, n: int) -> None:
    theirs = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def with_interval(low: float, high: float) -> Evaluation:
    empty = np.zeros(0)
    return Evaluation(9, 0.5, low, high, 0, 0, (), empty, empty, empty, empty, empty)


def test_overlapping_intervals_are_a_tie_in_both_directions() -> None:
    low, middle, high = with_interval(0.1, 0.3), with_interval(0.25, 0.5), with_interval(0.4, 0.6)
    assert tie(low, middle) and tie(middle, low) and tie(middle, high)
    assert not tie(low, high) and not tie(high, low)


def test_json_has_plain_values() -> None:
    found = json.loads(json.dumps(evaluate(*example()).to_json()))
    assert found["n"] == 200 and found["classes"]["a"]["support"] == sum(found["confusion"][0])
