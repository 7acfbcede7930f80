import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from classify.heads.fitting import block_grams
from classify.heads.fitting.block_grams import BlockGrams

Data = tuple[np.ndarray, np.ndarray]
BLOCKS = [(0, 64), (64, 264), (264, 300)]


@pytest.fixture
def rows(digits: Data) -> Data:
    """200 rows: the digits, and two blocks of other scales."""
    rng = np.random.default_rng(0)
    X = digits[0][:200]
    more = np.maximum(X @ rng.normal(size=(64, 200)), 0) * 50 + 9
    return np.hstack([X, more, rng.normal(size=(200, 36))]).astype(np.float32), digits[1][:200]


def parts(y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(StratifiedKFold(4, shuffle=True, random_state=0).split(y, y))


@pytest.mark.parametrize("chosen", [[0], [2, 0], [0, 1, 2]])
@pytest.mark.parametrize("classes", [10, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_sets_scores_are_those_of_the_plain_pipeline(
    rows: Data, chosen: list[int], classes: int, weighted: bool
) -> None:
    keep = np.isin(rows[1], list("0123456789")[:classes])
    X, codes = rows[0][keep], rows[1][keep].astype(int)
    weight = np.linspace(0.5, 2, len(X)) if weighted else None
    grams = BlockGrams(X, BLOCKS, codes, classes, parts(codes), weight)
    found = grams.scores(chosen, [0.01], tol=1e-5)
    columns = np.concatenate([np.arange(*BLOCKS[number]) for number in sorted(chosen)])
    Z = StandardScaler().fit_transform(X[:, columns].astype(np.float64))
    for fit, held in parts(codes):
        model = LogisticRegression(C=0.01, tol=1e-8, max_iter=10_000)
        model.fit(Z[fit], codes[fit], None if weight is None else weight[fit])
        theirs = model.decision_function(Z[held])
        if classes == 2:
            theirs = np.stack([np.zeros(len(held)), theirs], axis=1)
        received, expected = (s - s.mean(axis=1, keepdims=True) for s in (found.scores[held], theirs))
        assert np.abs(received - expected).max() < 0.01 * np.abs(expected).max()
    hits = found.scores.argmax(axis=1) == codes
    assert found.accuracy.tolist() == [hits[held].mean() for _, held in parts(codes)]


def test_each_folds_own_scaler_hardly_differs(rows: Data) -> None:
    X, codes = rows[0], rows[1].astype(int)
    found = BlockGrams(X, BLOCKS, codes, 10, parts(codes)).scores([0, 1], [0.01])
    right = 0
    for fit, held in parts(codes):
        scaler = StandardScaler().fit(X[fit, :264])
        model = LogisticRegression(C=0.01).fit(scaler.transform(X[fit, :264]), codes[fit])
        right += (model.predict(scaler.transform(X[held, :264])) == codes[held]).sum()
    assert abs((found.scores.argmax(axis=1) == codes).sum() - right) <= 2


def test_the_strength_is_chosen(rows: Data) -> None:
    grams = BlockGrams(rows[0], BLOCKS, rows[1].astype(int), 10, parts(rows[1]))
    each = {C: grams.scores([0], [C]) for C in (1e-6, 1e-2, 1e-1)}
    best = grams.scores([0], [1e-1, 1e-6, 1e-2])
    assert best.mean == max(one.mean for one in each.values())
    assert (
        best.mean == each[best.strength].mean
        and (best.scores.argmax(1) == each[best.strength].scores.argmax(1)).all()
    )


def test_a_class_that_a_fold_lacks_is_not_its_answer(rows: Data) -> None:
    X, codes = rows[0], rows[1].astype(int)
    lone = np.flatnonzero(codes == 9)[1:]
    X, codes = np.delete(X, lone, 0), np.delete(codes, lone)
    order = np.random.default_rng(0).permutation(len(codes))
    folds = [(np.setdiff1d(order, held), held) for held in np.array_split(order, 4)]
    found = BlockGrams(X, BLOCKS, codes, 10, folds).scores([0, 1])
    assert np.isfinite(found.scores).all() and found.mean > 0.8
    assert found.scores[codes == 9].argmax() != 9


def test_a_further_set_takes_no_product_with_its_columns(rows: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    grams = BlockGrams(rows[0], BLOCKS, rows[1].astype(int), 10, parts(rows[1]))
    monkeypatch.setattr(block_grams, "_gram", None)
    assert grams.scores([0]).mean != grams.scores([2]).mean
