import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from classify.heads.fitting.logistic import solve

Data = tuple[np.ndarray, np.ndarray]


def compare(X: np.ndarray, y: np.ndarray, strengths: list[float], standardise: bool, weight=None) -> None:  # type: ignore[no-untyped-def]
    """All folds and strengths solved together against scikit-learn's solver, one at a time, both converged."""
    classes, codes = np.unique(y, return_inverse=True)
    fits = [fit for fit, _ in StratifiedKFold(3, shuffle=True, random_state=0).split(X, y)]
    pairs = [(fit, C) for C in strengths for fit in fits]
    kernel, intercept = solve(
        X,
        codes,
        len(classes),
        [fit for fit, _ in pairs],
        [C for _, C in pairs],
        standardise=standardise,
        weight=weight,
        tol=1e-6,
    )
    for (fit, C), W, b in zip(pairs, kernel, intercept, strict=True):
        model = make_pipeline(
            *([StandardScaler()] if standardise else []), LogisticRegression(C=C, tol=1e-8, max_iter=10_000)
        )
        given = {} if weight is None else {"logisticregression__sample_weight": weight[fit]}
        with threadpool_limits(1):  # two threads are slower on products as small as these
            model.fit(X[fit].astype(np.float64), codes[fit], **given)
        expected = model.decision_function(X.astype(np.float64))
        received = X @ W + b
        if len(classes) == 2:
            received = received[:, 0]
        else:  # scores are defined up to a constant for each row
            received, expected = (s - s.mean(axis=1, keepdims=True) for s in (received, expected))
        assert np.abs(received - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("classes", [10, 3, 2])
def test_solutions_are_scikit_learns(digits: Data, classes: int, standardise: bool) -> None:
    keep = np.isin(digits[1], list("0123456789")[:classes])
    compare(digits[0][keep], digits[1][keep], [1e-3, 0.1, 1.0], standardise)


def test_row_weights_count(digits: Data) -> None:
    weight = np.where(digits[1] == "8", 5.0, 1.0)
    compare(*digits, [0.01], True, weight)


def test_far_from_the_origin_and_badly_scaled_features_are_no_trouble(digits: Data) -> None:
    X = digits[0] * np.geomspace(1e-3, 1e3, digits[0].shape[1]).astype(np.float32) + 50
    compare(X.astype(np.float32), digits[1], [0.1], True)


def test_constant_features_get_no_weight(digits: Data) -> None:
    X = np.hstack([digits[0], np.full((len(digits[0]), 2), 7, np.float32)])
    codes = np.unique(digits[1], return_inverse=True)[1]
    kernel, _ = solve(X, codes, 10, [np.arange(400)], [0.1], standardise=True)
    assert np.abs(kernel[0, -2:]).max() < 1e-6


def wide(digits: Data, classes: int = 10, columns: int = 400) -> Data:
    """Fewer rows than columns, of which two are constant and one row is there twice."""
    keep = np.flatnonzero(np.isin(digits[1], list("0123456789")[:classes]))[:200]
    keep[-1] = keep[0]
    mix = np.random.default_rng(0).normal(size=(digits[0].shape[1], columns))
    X = np.maximum(digits[0][keep] @ mix, 0)
    X[:, -2:] = 7
    return X.astype(np.float32), digits[1][keep]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("classes", [10, 2])
def test_wide_rows_have_the_same_solutions(
    digits: Data, classes: int, standardise: bool, weighted: bool
) -> None:
    X, y = wide(digits, classes)
    weight = np.linspace(0.5, 2, len(y)) if weighted else None
    compare(X, y, [1e-4, 1e-1], standardise, weight)
