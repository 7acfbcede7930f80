import itertools
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from cache.errors import UserError
from classify.data.labelled import Columns, Labelled
from classify.heads.folds import imbalance
from classify.heads.search import SearchOptions, SearchResult, search, settings_of
from classify.heads.table import HEADS, Head

Data = tuple[np.ndarray, np.ndarray]


def small(head: Head) -> Head:
    """The head with every other value of its settings, two scalings, and a small network: as telling, faster."""

    def grid(width: int) -> dict:
        full = head.grid(width)
        shorter = {name: values[:2] if name == "scale" else values[::2] for name, values in full.items()}
        return shorter | ({"classify__hidden_layer_sizes": [(16,)]} if head.name == "mlp" else {})

    return Head(head.name, head.make, grid, 0, head.fitter)


def plain(head: Head, X: np.ndarray, y: np.ndarray, *other: Any) -> GridSearchCV:
    """Scikit-learn's own search of a head, or of another Pipeline and its grids."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    with (
        warnings.catch_warnings(),
        threadpool_limits(1),
    ):  # two threads are slower on products as small as these
        warnings.simplefilter("ignore")
        # In float64: at strong regularisation scikit-learn's own float32 solutions differ by whole percents.
        pipeline, grid = other or (head.make(), head.grid(X.shape[1]))
        return GridSearchCV(pipeline, grid, cv=folds).fit(X.astype(np.float64), y)


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
    X, y = (part[:300] for part in digits) if which == "digits" else load_wine(return_X_y=True)
    X, y, head = X.astype(np.float32), y.astype(str), small(HEADS[name])
    ours, grid = search(head, Labelled(X, y)), plain(head, X, y)
    assert_equal_to_grid_search(ours, grid, len(X))
    if repr(ours.params) == repr(grid.best_params_):
        assert (ours.pipeline.predict(X) == grid.predict(X)).mean() > 0.99


CHOICES = (Columns("top", ((8, 32), (40, 64))), Columns("all", ((0, 8), (8, 32), (32, 40), (40, 64))))


@pytest.mark.parametrize("name", [name for name in HEADS if name != "mlp"])
def test_which_parts_to_use_is_searched_as_grid_search_does(digits: Data, name: str) -> None:
    X, y, head = digits[0][:300], digits[1][:300], small(HEADS[name])
    data = Labelled(X + 0.1, y, choices=CHOICES)  # no row of zeros
    ours = search(head, data)
    pipeline, grids = settings_of(head, data)
    grid = plain(head, data.X, y, pipeline, grids)
    assert_equal_to_grid_search(ours, grid, len(X))
    assert {one.settings["parts"] for one in ours.candidates} == {"top", "all"}
    scales = {one.settings.get("scale") for one in ours.candidates}
    assert "none" not in scales  # the units of several parts differ
    # The kept Pipeline does not have the step: it takes the columns that were chosen.
    assert "parts" not in dict(ours.pipeline.steps)
    own = ours.pipeline.predict(ours.columns.of(data.X))
    if repr(ours.params) == repr(grid.best_params_):
        assert (own == grid.predict(data.X.astype(np.float64))).mean() > 0.99


def test_the_simplest_of_equal_parts_is_chosen(digits: Data) -> None:
    X, y = digits
    noise = np.zeros((len(X), 8), np.float32)
    choices = Columns("top", ((8, 72),)), Columns("all", ((0, 8), (8, 72)))
    found = search(small(HEADS["logreg"]), Labelled(np.hstack([noise, X]), y, choices=choices))
    assert found.settings["parts"] == "top" and found.columns == choices[0]
    assert found.pipeline.n_features_in_ == 64


def test_one_choice_is_no_setting(digits: Data) -> None:
    X, y = digits
    top = Columns("top", ((8, 64),))
    found = search(small(HEADS["logreg"]), Labelled(X, y, choices=(top,)))
    alone = search(small(HEADS["logreg"]), Labelled(X[:, 8:], y))
    assert found.settings == alone.settings and found.cv_accuracy == alone.cv_accuracy
    assert found.columns == top and "parts" not in found.settings
    assert alone.columns.of(X[:, 8:]).shape == (600, 56)


def test_a_head_of_ones_own_gets_all_columns(digits: Data) -> None:
    X, y = digits
    own = replace(HEADS["ridge"], users_own=True)
    found = search(own, Labelled(X, y, choices=CHOICES), SearchOptions(folds=2))
    assert found.columns == CHOICES[-1] and found.pipeline.n_features_in_ == 64


def test_views_are_searched_in_the_same_columns(digits: Data) -> None:
    X, y = digits
    views = np.stack([X, X[:, ::-1]])
    found = search(
        small(HEADS["ridge"]), Labelled(X, y, views=views, choices=CHOICES), SearchOptions(folds=2)
    )
    one = CHOICES[found.settings["parts"] == "all"]
    same = Labelled(one.of(X), y, views=one.of(views))
    assert found.cv_accuracy >= search(small(HEADS["ridge"]), same, SearchOptions(folds=2)).cv_accuracy - 1e-9


def test_the_out_of_fold_scores_are_those_of_the_reported_accuracy(digits: Data) -> None:
    X, y = digits
    found = search(small(HEADS["logreg"]), Labelled(X, y), SearchOptions(folds=4))
    assert found.scores.shape == (600, 10) and found.scores.dtype == np.float32
    hits = found.classes[found.scores.argmax(axis=1)] == y
    assert hits.mean() == pytest.approx(found.cv_accuracy, abs=1e-6)  # 600 / 4: folds of equal size
    # Had a row been seen in training, the accuracy would be that of the training rows.
    assert hits.mean() < (found.pipeline.predict(X) == y).mean()


def test_the_result_does_not_depend_on_the_number_of_threads(digits: Data) -> None:
    X, y = digits
    one, two = (search(small(HEADS["svm"]), Labelled(X, y), SearchOptions(n_jobs=n, folds=3)) for n in (1, 2))
    assert repr(one.params) == repr(two.params) and (one.scores == two.scores).all()


def test_any_pipeline_can_be_searched(digits: Data) -> None:
    X, y = digits[0][:300], digits[1][:300]

    def make():
        return make_pipeline(StandardScaler(), LogisticRegression())

    outer = Head("outer", make, lambda d: {"standardscaler__with_mean": [True, False]}, 0)
    inner = Head("inner", make, lambda d: {"logisticregression__C": [0.01, 1.0]}, 0)
    for head in (outer, inner):
        assert_equal_to_grid_search(search(head, Labelled(X, y)), plain(head, X, y), len(X))
    bare = Head("bare", lambda: make_pipeline(LogisticRegression()), lambda d: {}, 0)
    assert len(search(bare, Labelled(X, y), SearchOptions(folds=2)).candidates) == 1


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
        found = search(head, Labelled(X[keep], y[keep]), SearchOptions(folds=5))
        assert list(found.pipeline.classes_) == ["0", "1", "2", "3"]
        assert found.scores[-1, 3] == -np.inf  # no fold model knew the only picture of its class
        assert not any("least populated" in note for note in found.notes)
    assert imbalance(y[keep], 5)[0].startswith("2 of 4 classes have fewer")


def test_folds_are_lowered_when_no_class_fills_them(digits: Data) -> None:
    X, y = digits
    keep = np.concatenate([np.flatnonzero(y == c)[:3] for c in "012"])
    found = search(HEADS["logreg"], Labelled(X[keep], y[keep]), SearchOptions(folds=5))
    assert len(found.candidates[0].accuracy) == 3
    assert "5 folds lowered to 3" in found.notes[0]


def test_constant_features_do_no_harm(digits: Data) -> None:
    X, y = digits
    wide = np.hstack([X, np.full((len(X), 3), 7, np.float32)])
    for head in (small(head) for head in HEADS.values() if head.name != "mlp"):
        found = search(head, Labelled(wide, y), SearchOptions(folds=3))
        assert found.cv_accuracy > 0.88 and np.isfinite(found.scores).all()


def test_rows_that_are_not_finite_are_counted(digits: Data) -> None:
    X, y = digits[0].copy(), digits[1]
    X[3, 5], X[7, 1], X[7, 2] = np.nan, np.inf, np.nan
    with pytest.raises(UserError, match="received 2 of 600 rows with NaN"):
        search(HEADS["logreg"], Labelled(X, y))


@pytest.mark.parametrize("labels", [["a"] * 20, ["a"] * 19 + ["b"], list("abcdefghijklmnopqrst")])
def test_too_few_classes_or_pictures_are_refused(labels: list[str]) -> None:
    with pytest.raises(UserError, match="at least two classes"):
        search(HEADS["logreg"], Labelled(np.ones((20, 4), np.float32), np.array(labels)))


@pytest.mark.parametrize("options", [{"folds": 1}, {"n_jobs": 0}, {"seed": -1}])
def test_options_out_of_range_are_refused(digits: Data, options: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"Expected --(folds|jobs|seed)"):
        search(HEADS["logreg"], Labelled(*digits), SearchOptions(**options))


def test_progress_counts_every_fit(digits: Data) -> None:
    seen: list[tuple[int, int]] = []
    search(
        HEADS["logreg"],
        Labelled(*digits),
        SearchOptions(folds=3, on_progress=lambda *counts: seen.append(counts)),
    )
    assert seen == [(i, 84) for i in range(1, 85)]


def test_an_interrupt_stops_after_the_running_fits(digits: Data) -> None:
    done: list[int] = []

    def interrupt(count: int, total: int) -> None:
        done.append(count)
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(HEADS["svm"], Labelled(*digits), SearchOptions(n_jobs=2, on_progress=interrupt))
    assert done == [1, 2, 3]


def test_what_scikit_learn_warns_of_becomes_a_note(digits: Data) -> None:
    def make():
        return make_pipeline(LogisticRegression(max_iter=2))

    found = search(Head("short", make, lambda d: {}, 0), Labelled(*digits), SearchOptions(folds=2))
    assert any(note.startswith("short: lbfgs failed to converge") for note in found.notes)


def test_equal_to_plain_grid_search_on_picture_embeddings(flowers: Path) -> None:
    pytest.importorskip("PIL")
    from PIL import Image

    # 16 x 16 grey pixels of 40 photographs a class: 256 wide and with fewer rows than columns, as few
    # pictures have.
    X, y = [], []
    for folder in sorted(p for p in flowers.iterdir() if p.is_dir())[:3]:
        for path in sorted(folder.iterdir())[:40]:
            X.append(np.asarray(Image.open(path).convert("L").resize((16, 16)), np.float32).ravel() / 255)
            y.append(folder.name)
    data, names = np.stack(X), np.array(y)
    for head in map(small, HEADS.values()):
        assert_equal_to_grid_search(search(head, Labelled(data, names)), plain(head, data, names), len(data))


def groups_of(y: np.ndarray, size: int, mixed: bool) -> np.ndarray:
    """Groups of `size` rows, of one class each or of whatever classes come."""
    order = np.arange(len(y)) if mixed else np.argsort(y, kind="stable")
    group = np.empty(len(y), int)
    group[order] = np.arange(len(y)) // size
    return group if mixed else group + 1000 * y.astype(int)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("size", [2, 6])
def test_no_group_is_on_both_sides_of_a_fold(digits: Data, mixed: bool, size: int) -> None:
    X, y = digits
    group = groups_of(y, size, mixed)
    found = search(HEADS["ridge"], Labelled(X, y, group=group), SearchOptions(folds=4))
    assert sorted(np.concatenate([held for _, held in found.folds]).tolist()) == list(range(600))
    counts = []
    for fit, held in found.folds:
        assert not set(group[fit]) & set(group[held]) and len(fit) + len(held) == 600
        first = np.arange(len(held)) if mixed else np.unique(group[held], return_index=True)[1]
        counts.append(np.unique(y[held][first], return_counts=True)[1])
    # Stratified: of each class the same number of groups, to within one; mixed ones as nearly as they allow.
    assert np.ptp(np.stack(counts), axis=0).max() <= (7 if mixed else 1)
    other = search(HEADS["ridge"], Labelled(X, y, group=group), SearchOptions(folds=4, seed=1)).folds
    assert any(len(a) != len(b) or (a != b).any() for (_, a), (_, b) in zip(found.folds, other, strict=True))


def test_groups_make_copies_count_once(digits: Data) -> None:
    rng = np.random.default_rng(0)
    X, y = np.repeat(digits[0][:150], 2, axis=0), np.repeat(rng.permutation(digits[1][:150]), 2)
    nearest = Head("nearest", lambda: make_pipeline(KNeighborsClassifier(1)), lambda d: {}, 0)
    torn, whole = (search(nearest, Labelled(X, y, group=g)).cv_accuracy for g in (None, np.arange(300) // 2))
    assert torn > 0.7 and whole < 0.3  # the labels mean nothing: only a copy tells them


def test_fewer_groups_than_folds_lower_them(digits: Data) -> None:
    group = np.arange(600) // 200
    found = search(HEADS["ridge"], Labelled(*digits, group=group))
    assert len(found.folds) == 3 and found.notes == [
        "5 folds lowered to 3: there are no more groups than that"
    ]
    assert found.cv_accuracy > 0.85


@pytest.mark.parametrize("name", HEADS)
def test_groups_that_leave_one_class_to_fit_on_are_refused(digits: Data, name: str) -> None:
    keep = digits[1] < "2"
    X, y = digits[0][keep], digits[1][keep]
    group = np.where(y == "0", 0, np.arange(1, len(y) + 1))
    with pytest.raises(UserError, match=r"leave two classes to fit on.*--group-by"):
        search(HEADS[name], Labelled(X, y, group=group), SearchOptions(folds=3))
    with pytest.raises(UserError, match="leave two classes"):
        search(HEADS[name], Labelled(X, y, group=np.zeros(len(y), int)))


def interrupted_after(digits: Data, count: int) -> SearchResult:
    def interrupt(done: int, total: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    return search(HEADS["svm"], Labelled(*digits), SearchOptions(folds=3, n_jobs=1, on_progress=interrupt))


def test_an_interrupted_search_keeps_complete_candidates(digits: Data) -> None:
    whole = search(HEADS["svm"], Labelled(*digits), SearchOptions(folds=3))
    found = interrupted_after(digits, 70)  # two scalings of 21 settings on 3 folds: the first is complete
    assert found.interrupted and not whole.interrupted
    assert "svm: interrupted after 21 of 42 settings" in found.notes
    known = {repr(one.params): one.accuracy.tolist() for one in whole.candidates}
    assert len(found.candidates) == 21
    assert all(known[repr(one.params)] == one.accuracy.tolist() for one in found.candidates)
    best = max(one.mean for one in found.candidates)
    assert found.cv_accuracy == best and np.isfinite(found.scores).all()
    hits = found.classes[found.scores.argmax(axis=1)] == digits[1]
    assert hits.mean() == pytest.approx(best, abs=1e-6)
    assert found.pipeline.get_params()["classify__C"] == found.params["classify__C"]


def slow_clock() -> Callable[[], float]:
    """Every look at the clock takes a second."""
    return itertools.count(0.0).__next__


def test_out_of_time_keeps_complete_candidates(digits: Data) -> None:
    found = search(
        HEADS["svm"], Labelled(*digits), SearchOptions(folds=3, n_jobs=1, seconds=70.0, clock=slow_clock())
    )
    assert not found.interrupted and len(found.candidates) == 21
    assert "svm: out of time after 21 of 42 settings" in found.notes
    assert np.isfinite(found.scores).all() and found.pipeline.predict(digits[0][:1]).shape == (1,)
    whole = search(
        HEADS["svm"], Labelled(*digits), SearchOptions(folds=3, n_jobs=1, seconds=1000.0, clock=slow_clock())
    )
    assert len(whole.candidates) == 42 and not whole.notes


def test_what_cannot_be_done_in_time_is_not_begun(digits: Data) -> None:
    done: list[int] = []
    with pytest.raises(
        UserError, match=r"one setting of centroid on 5 folds, received 3.0 s\. Raise --budget"
    ):
        search(
            HEADS["centroid"],
            Labelled(*digits),
            SearchOptions(
                n_jobs=1, seconds=3.0, clock=slow_clock(), on_progress=lambda count, total: done.append(count)
            ),
        )
    assert done[0] == 1 and len(done) < 4 * 5


def test_large_kernels_are_approximated_with_a_note(digits: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classify.heads.table.EXACT_KERNEL_ROWS", 400)
    monkeypatch.setattr("classify.heads.table.NYSTROEM", 100)
    assert (
        search(small(HEADS["svm"]), Labelled(digits[0][:500], digits[1][:500])).notes == []
    )  # 400 of 500 rows a fold
    for name, steps in (("svm", ["scale", "kernel", "classify"]), ("svm-linear", ["scale", "classify"])):
        found = search(HEADS[name], Labelled(*digits), SearchOptions(folds=5))
        assert f"{name}: approximated, as an exact kernel on 600 rows takes too long" in found.notes
        assert [step for step, _ in found.pipeline.steps] == steps
        assert type(found.pipeline[-1]).__name__ == "LinearSVC" and found.head == name
        assert found.cv_accuracy > 0.9
        json.dumps(found.settings)


def test_weights_reach_the_fits_and_heads_without_say_so(digits: Data) -> None:
    X, y = digits
    heavy = np.where(y == "1", 1e3, 1.0)
    plain, weighted = (
        search(small(HEADS["ridge"]), Labelled(X, y, weight=w), SearchOptions(folds=2)) for w in (None, heavy)
    )
    ones = [(found.classes[found.scores.argmax(axis=1)] == "1").mean() for found in (plain, weighted)]
    assert ones[1] > ones[0]
    refit = [(found.pipeline.predict(X) == "1").mean() for found in (plain, weighted)]
    assert refit[1] > refit[0] and not weighted.notes
    ignored = search(small(HEADS["lda"]), Labelled(X, y, weight=heavy), SearchOptions(folds=2))
    assert "lda takes no weights: fitted as if all rows weighed the same" in ignored.notes


def test_neighbours_among_few_rows(digits: Data) -> None:
    keep = np.concatenate([np.flatnonzero(digits[1] == c)[:9] for c in "01"])
    X, y = digits[0][keep], digits[1][keep]
    found = search(HEADS["knn"], Labelled(X, y))
    assert found.params["classify__n_neighbors"] == 20 > len(X)
    assert (found.pipeline.predict(X) == y).all()


def test_heads_of_the_users_own_stay_here(digits: Data) -> None:
    def elsewhere(*_: Any) -> Any:
        raise AssertionError("its code is not there")

    own = replace(small(HEADS["ridge"]), name="mine:make", users_own=True)
    found = search(own, Labelled(*digits), SearchOptions(folds=2, spread=elsewhere))
    assert "mine:make is fitted on this machine: nodes of a cluster do not have its code" in found.notes
    with pytest.raises(AssertionError, match="not there"):
        search(small(HEADS["ridge"]), Labelled(*digits), SearchOptions(folds=2, spread=elsewhere))
