import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from classify import paths

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def fold(digits: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X, y = digits
    Z = StandardScaler().fit_transform(X)
    return Z[:400], y[:400], Z[400:]


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_gram_matrices_give_the_scores_of_plain_fits(fold, kernel: str) -> None:
    # C = 0.01 binds every multiplier, C >= 10 none: both sides of the shortcut are compared.
    candidates = [{"C": c} for c in (1.0, 0.01, 10.0, 100.0)]
    if kernel == "rbf":
        candidates = [{**one, "gamma": g} for one in candidates for g in (0.003, 0.02)]
    svc = SVC(kernel=kernel, break_ties=True)
    fast = dict(paths.kernel(svc, candidates, *fold))
    plain = dict(paths.each(svc, candidates, *fold))
    assert fast.keys() == plain.keys() == set(range(len(candidates)))
    for number, scores in plain.items():
        # A vote between two classes may fall the other way where its margin is within libsvm's tolerance.
        assert (np.abs(fast[number] - scores) > 2e-2).mean() < 0.005
        assert (fast[number].argmax(axis=1) == scores.argmax(axis=1)).mean() > 0.99


def test_a_settled_solution_is_not_fitted_again(fold, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = []
    original = SVC.fit
    monkeypatch.setattr(SVC, "fit", lambda self, *a: fits.append(self.C) or original(self, *a))
    candidates = [{"C": c} for c in (1e-3, 10.0, 100.0, 1000.0)]
    found = dict(paths.kernel(SVC(kernel="linear"), candidates, *fold))
    assert fits == [1e-3, 10.0]
    assert (found[1] == found[3]).all() and (found[0] != found[3]).any()


def test_too_many_rows_for_a_gram_matrix_are_fitted_plainly(fold, monkeypatch: pytest.MonkeyPatch) -> None:
    svc, candidates = SVC(kernel="linear"), [{"C": 0.1}]
    monkeypatch.setattr(paths, "GRAM_ROWS", len(fold[0]) - 1)
    with pytest.warns(UserWarning, match="fitted from scratch"):
        fast = dict(paths.kernel(svc, candidates, *fold))
    assert (fast[0] == dict(paths.each(svc, candidates, *fold))[0]).all()


def test_a_warm_path_agrees_with_cold_fits_in_any_order(fold, digits: Data) -> None:
    candidates = [{"C": c} for c in (1.0, 0.001, 0.1, 0.01)]
    model = LogisticRegression(max_iter=1000)
    warm = dict(paths.warm(model, candidates, *fold))
    cold = dict(paths.each(model, candidates, *fold))
    truth, names = digits[1][400:], np.unique(fold[1])
    for number in range(len(candidates)):
        accuracy = [(names[s[number].argmax(axis=1)] == truth).mean() for s in (warm, cold)]
        assert abs(accuracy[0] - accuracy[1]) <= 0.005
        assert np.abs(warm[number] - cold[number]).max() < 0.05 * np.abs(cold[number]).max()
