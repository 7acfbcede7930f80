from dataclasses import replace

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from classify.heads.fitting import fitters
from classify.heads.fitting.tasks import Fold, FoldFitter

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def fold(digits: Data) -> Fold:
    X, y = digits
    Z = StandardScaler().fit_transform(X)
    return Fold(Z[:400], np.unique(y, return_inverse=True)[1][:400], Z[400:], None)


def both(fitter: FoldFitter, classifier: object, settings: list[dict], fold: Fold) -> tuple[dict, dict]:
    candidates = list(enumerate(settings))
    return dict(fitter(classifier, candidates, fold)), dict(fitters.fit_each(classifier, candidates, fold))


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
@pytest.mark.parametrize("weighted", [False, True])
def test_gram_matrices_give_the_scores_of_plain_fits(fold: Fold, kernel: str, weighted: bool) -> None:
    # C = 0.01 binds every multiplier, C >= 10 none: both sides of the shortcut are compared.
    settings = [{"C": c} for c in (1.0, 0.01, 10.0, 100.0)]
    if kernel == "rbf":
        settings = [{**one, "gamma": g} for one in settings for g in (0.003, 0.02)]
    if weighted:
        fold = replace(fold, weight=np.where(fold.y == 3, 3.0, 1.0))
    fast, plain = both(fitters.fit_kernel, SVC(kernel=kernel, break_ties=True), settings, fold)
    assert fast.keys() == plain.keys() == set(range(len(settings)))
    for number, scores in plain.items():
        # A vote between two classes may fall the other way where its margin is within libsvm's tolerance.
        assert (np.abs(fast[number] - scores) > 2e-2).mean() < 0.005
        assert (fast[number].argmax(axis=1) == scores.argmax(axis=1)).mean() > 0.99


def test_a_settled_solution_is_not_fitted_again(fold: Fold, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = []
    original = SVC.fit
    monkeypatch.setattr(SVC, "fit", lambda self, *a: fits.append(self.C) or original(self, *a))
    settings = list(enumerate({"C": c} for c in (1e-3, 10.0, 100.0, 1000.0)))
    found = dict(fitters.fit_kernel(SVC(kernel="linear"), settings, fold))
    assert fits == [100.0, 1e-3]  # from the middle upwards, then the small ones
    assert (found[1] == found[3]).all() and (found[0] != found[3]).any()


@pytest.mark.parametrize("classes", [10, 2])
@pytest.mark.parametrize("rows", [400, 40])
@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_equals_scikit_learns(fold: Fold, classes: int, rows: int, weighted: bool) -> None:
    keep = np.flatnonzero(fold.y < classes)[:rows]
    weight = np.linspace(0.5, 2, len(keep)) if weighted else None
    fold = Fold(fold.Z[keep].astype(np.float64), fold.y[keep], fold.V, weight)
    fast, plain = both(fitters.fit_ridge, RidgeClassifier(), [{"alpha": a} for a in (0.1, 10.0, 1e4)], fold)
    for number, scores in plain.items():
        np.testing.assert_allclose(fast[number], scores, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("classes", [10, 2])
def test_lda_equals_scikit_learns(fold: Fold, classes: int) -> None:
    keep = fold.y < classes
    fold = Fold(fold.Z[keep].astype(np.float64), fold.y[keep], fold.V.astype(np.float64), None)
    lda = LinearDiscriminantAnalysis(solver="lsqr")
    fast, plain = both(fitters.fit_lda, lda, [{"shrinkage": s} for s in (0.9, 0.5, 0.1)], fold)
    for number, scores in plain.items():
        np.testing.assert_allclose(fast[number], scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_neighbours_equal_scikit_learns(fold: Fold, weights: str) -> None:
    knn = KNeighborsClassifier(weights=weights, algorithm="brute")
    fast, plain = both(fitters.fit_neighbours, knn, [{"n_neighbors": k} for k in (1, 5, 20)], fold)
    for number, scores in plain.items():
        np.testing.assert_allclose(np.exp(fast[number]), np.exp(scores), atol=2e-3)
