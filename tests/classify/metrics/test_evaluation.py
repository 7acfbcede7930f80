import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn import metrics

from classify.heads.folds import imbalance
from classify.metrics import evaluation
from classify.metrics.evaluation import Evaluation, evaluate, tie


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
    assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    theirs = metrics.brier_score_loss(truth, probability, labels=names, scale_by_half=False)
    assert found.brier == pytest.approx(theirs)
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


def labels(right: dict[str, tuple[int, int]]) -> Evaluation:
    """Evaluate predictions of which, by class, so many of so many are right."""
    truth = np.concatenate([np.full(n, name) for name, (_, n) in right.items()])
    hit = np.concatenate([np.arange(n) < hits for hits, n in right.values()])
    names = np.array([*sorted(right), "z"])
    predicted = np.where(hit, truth, "z")
    return evaluate(truth, predicted, (predicted[:, None] == names).astype(float), names)


def test_each_figure_has_its_interval() -> None:
    found = labels({"a": (90, 100), "b": (2, 3)})
    scipys = binomtest(92, 103).proportion_ci(0.95, method="wilson")
    assert (found.ci_low, found.ci_high) == pytest.approx((scipys.low, scipys.high))
    scipys = binomtest(2, 3).proportion_ci(0.95, method="wilson")
    assert (found.recall_low[1], found.recall_high[1]) == pytest.approx((scipys.low, scipys.high))
    assert found.recall_low[0] > 0.8 and (found.recall_low[2], found.recall_high[2]) == (0, 1)


def test_balanced_accuracy_of_even_classes_is_accuracy_with_its_interval() -> None:
    found = labels({"a": (90, 100), "b": (90, 100), "c": (90, 100)})
    assert found.balanced_accuracy == pytest.approx(found.accuracy)
    assert (found.balanced_low, found.balanced_high) == pytest.approx(
        (found.ci_low, found.ci_high), abs=0.003
    )


def test_a_small_class_makes_balanced_accuracy_uncertain() -> None:
    found = labels({"a": (950, 1000), "b": (3, 3)})
    # A bootstrap would draw 3 of 3 every time and claim less than two points; b alone is known to 0.44 - 1.
    assert found.balanced_accuracy == pytest.approx(0.975)
    assert found.balanced_high - found.balanced_low > 0.2 and found.balanced_high <= 1


def test_the_interval_of_balanced_accuracy_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    rates, sizes = np.array([0.95, 0.8, 0.6]), np.array([400, 40, 15])
    held = 0
    for _ in range(300):
        hits = rng.binomial(sizes, rates)
        found = labels({name: (int(h), int(n)) for name, h, n in zip("abc", hits, sizes, strict=True)})
        held += found.balanced_low <= rates.mean() <= found.balanced_high
    assert 0.92 <= held / 300 <= 0.99


def test_a_class_of_its_own_changes_no_probability_score_but_its_rows() -> None:
    truth, predicted, probability, names = example(50)
    found = evaluate(truth, predicted, probability, names)
    more = evaluate(
        np.append(truth, "x"), np.append(predicted, "a"), np.vstack([probability, [1, 0, 0, 0]]), names
    )
    assert more.brier == pytest.approx((50 * found.brier + 2) / 51)
    assert more.log_loss == pytest.approx((50 * found.log_loss - np.log(np.finfo(float).eps)) / 51)


def test_columns_need_not_be_in_order() -> None:
    truth, predicted, probability, names = example(50)
    found = evaluate(truth, predicted, probability, names)
    turned = evaluate(truth, predicted, probability[:, ::-1], names[::-1])
    assert (turned.log_loss, turned.brier, turned.ece) == (found.log_loss, found.brier, found.ece)


def test_imbalance_names_the_smallest_classes() -> None:
    y = np.repeat(["a", "b", "c"], [60, 2, 4])
    small, uneven = imbalance(y, 5)
    assert small.startswith("2 of 3 classes have fewer training pictures than the 5 folds: b (2), c (4);")
    assert uneven.startswith("classes are uneven: a has 60 training pictures, b 2;")
    assert imbalance(np.repeat(["a", "b"], [50, 5]), 5) == []
    many = imbalance(np.arange(9).astype(str), 2)[0]
    assert "0 (1), 1 (1), 2 (1), 3 (1), 4 (1) and 4 more;" in many


def with_interval(low: float, high: float) -> Evaluation:
    return replace(evaluate(*example()), ci_low=low, ci_high=high)


def test_overlapping_intervals_are_a_tie_in_both_directions() -> None:
    low, middle, high = with_interval(0.1, 0.3), with_interval(0.25, 0.5), with_interval(0.4, 0.6)
    assert tie(low, middle) and tie(middle, low) and tie(middle, high)
    assert not tie(low, high) and not tie(high, low)


def test_json_has_plain_values() -> None:
    found = json.loads(json.dumps(evaluate(*example()).to_json()))
    assert found["n"] == 200 and found["brier"] > 0 and found["balanced_low"] < found["balanced_high"]
    assert found["classes"]["a"]["support"] == sum(found["confusion"][0])


@pytest.mark.parametrize("dense", [4, 3])
def test_json_is_read_again_also_of_very_many_classes(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "DENSE", dense)
    made = evaluate(*example())
    content = json.loads(json.dumps(made.to_json()))
    assert len(content["confusion"]) == (4 if dense == 4 else np.count_nonzero(made.confusion))
    found = vars(Evaluation.from_json(content))
    assert found.keys() == vars(made).keys()
    assert all(np.array_equal(found[name], value) for name, value in vars(made).items())


def test_a_frame_has_a_row_a_class() -> None:
    truth, predicted, probability, names = example()
    found = evaluate(truth, predicted, probability, names)
    frame = found.to_frame()
    assert list(frame) == ["class", "precision", "recall", "ci_low", "ci_high", "f1", "support"]
    assert frame["class"].tolist() == list("abcd") and frame["class"].dtype == "object"
    assert frame["support"].dtype == "int64" and frame["support"].sum() == 200
    assert frame["recall"].tolist() == found.recall.tolist() and (frame.dtypes[1:6] == "float64").all()
