import numpy as np
import pytest
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from classify.heads.fitting import fitters, wide
from classify.heads.fitting.fitters import fit_weighted
from classify.heads.fitting.scaling import scalings
from classify.heads.fitting.tasks import Fold

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def rows(digits: Data) -> Data:
    """150 rows of 300 float32 columns, more than there are rows, one of them constant."""
    mix = np.random.default_rng(0).normal(size=(digits[0].shape[1], 300))
    X = np.maximum(digits[0][:150] @ mix, 0)
    X[:, -1] = 7
    return X.astype(np.float32), digits[1][:150]


def two(rows: Data) -> Data:
    keep = rows[1] < "2"
    return rows[0][keep], rows[1][keep]


@pytest.mark.parametrize("scaling", ["standard", "none"])
@pytest.mark.parametrize("classes", [10, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_logistic_regression_is_scikit_learns_own(
    rows: Data, scaling: str, classes: int, weighted: bool
) -> None:
    X, y = rows if classes == 10 else two(rows)
    weight = np.linspace(0.5, 2, len(y)) if weighted else None
    head = Pipeline(
        [("scale", scalings(scaling)[0]), ("classify", LogisticRegression(C=0.01, tol=1e-5, max_iter=1000))]
    )
    before = head[-1].get_params()
    ours = fit_weighted(clone(head), X, y, weight)
    theirs = clone(head).set_params(classify__tol=1e-7)
    theirs.fit(X.astype(np.float64), y, classify__sample_weight=weight)
    assert type(ours[-1]) is LogisticRegression and ours[-1].get_params() == before
    assert vars(ours[-1]).keys() == vars(theirs[-1]).keys() and ours[-1].coef_.shape == theirs[-1].coef_.shape
    assert ours[-1].n_iter_[0] <= theirs[-1].n_iter_[0] / 3  # began where it ends
    scores = theirs.decision_function(X)
    assert np.abs(ours.decision_function(X) - scores).max() < 0.01 * np.abs(scores).max()
    assert (ours.predict(X) == theirs.predict(X)).mean() > 0.99


@pytest.mark.parametrize("classes", [10, 2])
def test_a_discriminant_analysis_is_scikit_learns_own_without_its_covariance(
    rows: Data, classes: int
) -> None:
    X, y = rows if classes == 10 else two(rows)
    head = Pipeline(
        [("scale", StandardScaler()), ("lda", LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3))]
    )
    ours, theirs = fit_weighted(clone(head), X, y, None), clone(head).fit(X, y)
    assert type(ours[-1]) is LinearDiscriminantAnalysis and not hasattr(ours[-1], "covariance_")
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-3)
    np.testing.assert_allclose(ours[-1].coef_, theirs[-1].coef_, rtol=1e-2, atol=1e-4)
    assert (ours.predict(X) == theirs.predict(X)).all()


@pytest.mark.parametrize("classes", [10, 2])
def test_the_search_of_shrinkages_is_scikit_learns(rows: Data, classes: int) -> None:
    X, y = rows if classes == 10 else two(rows)
    codes = np.unique(y, return_inverse=True)[1]
    Z = StandardScaler().fit_transform(X.astype(np.float64))
    fold = Fold(Z[::2], codes[::2], Z[1::2], None)
    candidates = [(number, {"shrinkage": s}) for number, s in enumerate((0.9, 0.5, 0.1))]
    lda = LinearDiscriminantAnalysis(solver="lsqr")
    plain = dict(fitters.fit_each(lda, candidates, fold))
    for number, scores in fitters.fit_lda(lda, candidates, fold):
        np.testing.assert_allclose(scores, plain[number], rtol=1e-5, atol=1e-6)


def test_both_sides_of_woodbury_agree() -> None:
    rng = np.random.default_rng(0)
    centred, means = rng.normal(size=(40, 40)), rng.normal(size=(3, 40))
    more = np.hstack([centred, np.zeros((40, 1))])  # one column more than rows: the other side
    [narrow] = wide.shrunk_discriminants(centred, means, [0.5])
    level = 0.5 * (centred**2).mean()
    [broad] = wide.shrunk_discriminants(more, np.hstack([means, np.zeros((3, 1))]), [0.5])
    assert broad.shape == (3, 41) and not np.allclose(narrow, broad[:, :-1])  # the mean level is another
    within = 0.5 * more.T @ more / 40 + level * 40 / 41 * np.eye(41)
    np.testing.assert_allclose(broad, np.linalg.solve(within, np.hstack([means, np.zeros((3, 1))]).T).T)


@pytest.mark.parametrize(
    "classifier",
    [
        LogisticRegression(fit_intercept=False),
        LogisticRegression(class_weight="balanced"),
        LogisticRegression(solver="newton-cg"),
        LinearDiscriminantAnalysis(),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.0),
    ],
    ids=repr,
)
def test_other_settings_are_left_to_scikit_learn(classifier: object) -> None:
    assert wide.quick_fit(classifier, (10, 20)) is None


def test_rows_that_are_not_wide_are_left_to_scikit_learn() -> None:
    assert wide.quick_fit(LogisticRegression(), (20, 20)) is None
    assert wide.quick_fit(LogisticRegression(), (19, 20)) is not None
