import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cache.errors import UserError
from classify.heads import HEADS, Head
from classify.search import SearchResult, search

Data = tuple[np.ndarray, np.ndarray]


def small(head: Head) -> Head:
    """The head with every other value of its settings, two scalings, and a small network: as telling, faster."""

    def grid(width: int) -> dict:
        full = head.grid(width)
        shorter = {name: values[:2] if name == "scale" else values[::2] for name, values in full.items()}
        return shorter | ({"classify__hidden_layer_sizes": [(16,)]} if head.name == "mlp" else {})

    return Head(head.name, head.make, grid, 0, head.path)


def plain(head: Head, X: np.ndarray, y: np.ndarray) -> GridSearchCV:
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # In float64: at strong regularisation scikit-learn's own float32 solutions differ by whole percents.
        return GridSearchCV(head.make(), head.grid(X.shape[1]), cv=folds).fit(X.astype(np.float64), y)


def assert_equal_to_grid_search(ours: SearchResult, grid: GridSearchCV, n: int) -> None:
    theirs = grid.cv_results_
    assert list(map(repr, (one.params for one in ours.candidates))) == list(map(repr, theirs["params"]))
    means = np.array([one.mean for one in ours.candidates])
    assert np.abs(means - theirs["mean_test_score"]).max() <= max(0.002, 2.01 / n)
    # The winner is theirs, up to candidates that are equal within one picture.
    chosen = theirs["mean_test_score"][list(map(repr, theirs["params"])).index(repr(ours.params))]
    assert chosen >= grid.best_score_ - max(0.002, 1.01 / n)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("which", ["digits", "wine"])
def test_equal_to_plain_grid_search(digits: Data, name: str, which: str) -> None:
    X, y = digits if which == "digits" else load_wine(return_X_y=True)
    X, y, head = X.astype(np.float32), y.astype(str), small(HEADS[name])
    ours, grid = search(head, X, y), plain(head, X, y)
    assert_equal_to_grid_search(ours, grid, len(X))
    if repr(ours.params) == repr(grid.best_params_):
        assert (ours.pipeline.predict(X) == grid.predict(X)).mean() > 0.99


def test_the_out_of_fold_scores_are_those_of_the_reported_accuracy(digits: Data) -> None:
    X, y = digits
    found = search(small(HEADS["logreg"]), X, y, folds=4)
    assert found.scores.shape == (600, 10) and found.scores.dtype == np.float32
    hits = found.classes[found.scores.argmax(axis=1)] == y
    assert hits.mean() == pytest.approx(found.cv_accuracy, abs=1e-6)  # 600 / 4: folds of equal size
    # Had a row been seen in training, the accuracy would be that of the training rows.
    assert hits.mean() < (found.pipeline.predict(X) == y).mean()


def test_the_result_does_not_depend_on_the_number_of_threads(digits: Data) -> None:
    X, y = digits
    one, two = (search(small(HEADS["svm"]), X, y, n_jobs=n, folds=3) for n in (1, 2))
    assert repr(one.params) == repr(two.params) and (one.scores == two.scores).all()


def test_any_pipeline_can_be_searched(digits: Data) -> None:
    X, y = digits

    def make():
        return make_pipeline(StandardScaler(), LogisticRegression())

    outer = Head("outer", make, lambda d: {"standardscaler__with_mean": [True, False]}, 0)
    inner = Head("inner", make, lambda d: {"logisticregression__C": [0.01, 1.0]}, 0)
    for head in (outer, inner):
        assert_equal_to_grid_search(search(head, X, y), plain(head, X, y), len(X))
    bare = Head("bare", lambda: make_pipeline(LogisticRegression()), lambda d: {}, 0)
    assert len(search(bare, X, y, folds=2).candidates) == 1


def test_rare_classes_take_part(digits: Data) -> None:
    X, y = digits
    keep = np.concatenate(
        [
            np.flatnonzero(y == "0")[:20],
            np.flatnonzero(y == "1")[:20],
            np.flatnonzero(y == "2")[:2],
            np.flatnonzero(y == "3")[:1],
        ]
    )
    for head in map(small, HEADS.values()):
        found = search(head, X[keep], y[keep], folds=5)
        assert list(found.pipeline.classes_) == ["0", "1", "2", "3"]
        assert found.scores[-1, 3] == -np.inf  # no fold model knew the only picture of its class
        assert any("2 of 4 classes have fewer" in note for note in found.notes)
        assert not any("least populated" in note for note in found.notes)


def test_folds_are_lowered_when_no_class_fills_them(digits: Data) -> None:
    X, y = digits
    keep = np.concatenate([np.flatnonzero(y == c)[:3] for c in "012"])
    found = search(HEADS["logreg"], X[keep], y[keep], folds=5)
    assert len(found.candidates[0].accuracy) == 3
    assert "5 folds lowered to 3" in found.notes[0]


def test_constant_features_do_no_harm(digits: Data) -> None:
    X, y = digits
    wide = np.hstack([X, np.full((len(X), 3), 7, np.float32)])
    for head in (small(head) for head in HEADS.values() if head.name != "mlp"):
        found = search(head, wide, y, folds=3)
        assert found.cv_accuracy > 0.88 and np.isfinite(found.scores).all()


def test_rows_that_are_not_finite_are_counted(digits: Data) -> None:
    X, y = digits[0].copy(), digits[1]
    X[3, 5], X[7, 1], X[7, 2] = np.nan, np.inf, np.nan
    with pytest.raises(UserError, match="received 2 of 600 rows with NaN"):
        search(HEADS["logreg"], X, y)


@pytest.mark.parametrize("labels", [["a"] * 20, ["a"] * 19 + ["b"], list("abcdefghijklmnopqrst")])
def test_too_few_classes_or_pictures_are_refused(labels: list[str]) -> None:
    with pytest.raises(UserError, match="at least two classes"):
        search(HEADS["logreg"], np.ones((20, 4), np.float32), np.array(labels))


@pytest.mark.parametrize("options", [{"folds": 1}, {"n_jobs": 0}, {"seed": -1}])
def test_options_out_of_range_are_refused(digits: Data, options: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"Expected --(folds|jobs|seed)"):
        search(HEADS["logreg"], *digits, **options)


def test_progress_counts_every_fit(digits: Data) -> None:
    seen: list[tuple[int, int]] = []
    search(HEADS["logreg"], *digits, folds=3, on_progress=lambda *counts: seen.append(counts))
    assert seen == [(i, 84) for i in range(1, 85)]


def test_an_interrupt_stops_after_the_running_fits(digits: Data) -> None:
    done: list[int] = []

    def interrupt(count: int, total: int) -> None:
        done.append(count)
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(HEADS["svm"], *digits, n_jobs=2, on_progress=interrupt)
    assert len(done) < 210


def test_what_scikit_learn_warns_of_becomes_a_note(digits: Data) -> None:
    def make():
        return make_pipeline(LogisticRegression(max_iter=2))

    found = search(Head("short", make, lambda d: {}, 0), *digits, folds=2)
    assert any(note.startswith("short: lbfgs failed to converge") for note in found.notes)


def test_equal_to_plain_grid_search_on_picture_embeddings(flowers: Path) -> None:
    pytest.importorskip("PIL")
    from PIL import Image

    # 32 x 32 grey pixels of 40 photographs a class: 1024 wide and with fewer rows than columns, as few
    # pictures have.
    X, y = [], []
    for folder in sorted(p for p in flowers.iterdir() if p.is_dir())[:3]:
        for path in sorted(folder.iterdir())[:40]:
            X.append(np.asarray(Image.open(path).convert("L").resize((32, 32)), np.float32).ravel() / 255)
            y.append(folder.name)
    data, names = np.stack(X), np.array(y)
    for head in map(small, HEADS.values()):
        assert_equal_to_grid_search(search(head, data, names), plain(head, data, names), len(data))
