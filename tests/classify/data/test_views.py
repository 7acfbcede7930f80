"""Heads that train on views: a fold never sees a view of what it holds out, and plain pictures alone are judged."""

import json
from collections.abc import Callable
from dataclasses import replace

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.finetune.start.start import begin
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.curve.learning_curve import learning_curve
from classify.commands.fit_head.options import FitOptions
from classify.commands.fit_head.result import FitResult
from classify.data.labelled import Labelled, in_all_views, in_folds, shared_weight
from classify.data.splits import TRAIN, split
from classify.heads.fitting.tasks import Task, Work
from classify.heads.search import search
from classify.heads.table import HEADS, Head
from classify.runs.folder import best_run
from classify.runs.head_file import load_head
from classify.training.settings import Settings
from extract.embedding.views import Augmented
from extract.pictures.augmentation import each_view
from extract.pictures.policies import Views
from tests.classify.commands.fit_head.curve.test_learning_curve import Listener

Data = tuple[np.ndarray, np.ndarray]
VIEWS = 3


@pytest.fixture
def rows(digits: Data) -> np.ndarray:
    """(3, 300, 64): the first digits, and each twice more, shifted by a pixel and noisy."""
    X = digits[0][:300]
    noise = np.random.default_rng(0).normal(size=X.shape).astype(np.float32) / 10
    return np.stack([X, np.roll(X.reshape(-1, 8, 8), 1, axis=2).reshape(X.shape), X + noise])


def small(name: str) -> Head:
    """A head with two of its settings."""
    head = HEADS[name]

    def grid(width: int) -> dict:
        full = head.grid(width)
        return {key: values[:1] if key == "scale" else values[3:5] for key, values in full.items()}

    return replace(head, grid=grid)


def test_a_picture_is_found_in_all_of_its_views() -> None:
    numbered = np.arange(12).reshape(3, 4)  # three views of four pictures
    assert in_all_views(np.array([3, 1]), 4, 3).tolist() == numbered[:, [3, 1]].ravel().tolist()
    ((fit, held),) = in_folds([(np.array([0, 2]), np.array([1, 3]))], 4, 3)
    assert sorted(fit % 4) == [0, 0, 0, 2, 2, 2] and held.tolist() == [1, 3]
    assert shared_weight(None, 4, 3) == pytest.approx(np.full(12, 1 / 3))
    weight = shared_weight(np.array([1.0, 2, 3, 4]), 4, 3)
    assert weight.reshape(3, 4).sum(axis=0) == pytest.approx([1, 2, 3, 4])


def test_no_fold_fits_on_a_view_of_what_it_holds_out(digits: Data, rows: np.ndarray) -> None:
    y, works = digits[1][:300], []

    def spy(work: Work) -> list[Task]:
        works.append(work)
        return HEADS["logreg"].fitter(work)

    groups = np.arange(300) // 2 * 2  # pairs of near copies, whatever they show
    found = search(replace(small("logreg"), fitter=spy), Labelled(rows[0], y, group=groups, views=rows))
    plain = search(small("logreg"), Labelled(rows[0], y, group=groups))
    for (fit, held), (given, judged), (before, _) in zip(
        works[0].folds, found.folds, plain.folds, strict=True
    ):
        assert (works[0].X[:300] == rows[0]).all() and (held == judged).all() and held.max() < 300
        assert not set(fit % 300) & set(held) and not set(fit % 300 // 2) & set(held // 2)
        assert sorted(fit) == sorted(in_all_views(before, 300, VIEWS)) and (given == before).all()
        assert (works[0].codes[fit] == np.searchsorted(found.classes, y[fit % 300])).all()


def test_figures_are_those_of_plain_rows_never_seen(digits: Data, rows: np.ndarray) -> None:
    y = digits[1][:300]
    found = search(small("lda"), Labelled(rows[0], y, views=rows))
    assert found.scores.shape == (300, 10)
    for fit, held in found.folds:
        fitted = rows[:, fit].reshape(-1, 64)
        own = clone(found.pipeline).fit(fitted, np.tile(y[fit], VIEWS))
        said = found.classes[found.scores[held].argmax(axis=1)]
        assert (own.predict(rows[0, held]) == said).mean() > 0.99
    hits = found.classes[found.scores.argmax(axis=1)] == y
    assert hits.mean() == pytest.approx(found.cv_accuracy, abs=1e-6)


@pytest.mark.parametrize("name", ["logreg", "ridge", "lda", "svm-linear", "centroid"])
def test_views_that_show_nothing_new_change_nothing(digits: Data, name: str) -> None:
    """A picture's views share its weight, so that a strength of regularisation means what it means without them."""
    X, y = digits[0][:300], digits[1][:300]
    weight = np.random.default_rng(0).uniform(0.5, 2, 300)
    one, same = (
        search(
            small(name), Labelled(X, y, views=views, weight=weight if HEADS[name].rank in (1, 3, 4) else None)
        )
        for views in (None, np.stack([X, X, X]))
    )
    assert one.settings == same.settings and one.cv_accuracy == pytest.approx(same.cv_accuracy, abs=0.004)
    scale = np.abs(one.scores).max()
    np.testing.assert_allclose(same.scores / scale, one.scores / scale, atol=5e-3)


def test_damage_in_a_view_is_noticed(digits: Data, rows: np.ndarray) -> None:
    rows[2, 7, 3] = np.nan
    with pytest.raises(UserError, match="received 1 of 900 rows"):
        search(small("ridge"), Labelled(rows[0], digits[1][:300], views=rows))


def test_the_learning_curve_counts_pictures_and_fits_on_their_views() -> None:
    y = np.repeat(["a", "b"], 60)
    X = np.arange(120, dtype=np.float32)[:, None]
    views = np.stack([X, X + 1000, X + 2000])
    fold = np.arange(120) % 3
    parts = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    Listener.fits, Listener.asked = [], []
    curve = learning_curve("spy", make_pipeline(Listener()), Labelled(X, y, views=views), parts, n_jobs=1)
    assert [point.size for point in curve.points] == [2, 4, 8, 16, 40, 80]
    assert {len(fit) for fit in Listener.fits} == {6, 12, 24, 48, 120, 240}
    for fit, asked in zip(Listener.fits, Listener.asked, strict=True):
        assert sorted(fit // 1000) == sorted(np.repeat(range(3), len(fit) // 3)) and asked.max() < 1000
        assert not set(fit % 1000) & set(asked)


@pytest.fixture
def augmented(
    workspace: Workspace, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., FitResult]:
    """Fit heads in the workspace with two views; `asked` has the rows whose views were asked for."""

    def augment(workspace, data, asked, views, **rest):  # type: ignore[no-untyped-def]
        run.asked.append(asked)
        stores = []
        for view, values in zip(each_view(views), rows[1:], strict=True):
            stores.append(workspace.store(replace(data.space, view=view.name)))
            stores[-1].add(data.manifest.key[asked], values[asked])
        return Augmented(stores, len(asked) * views.number, 0, len(asked) * views.number, 0)

    def run(*models: str, **options: object) -> FitResult:
        given = {"curve": False, "views": Views.of(2, "flip"), **options}
        return fit_heads(workspace, FitOptions(models=models, **given))  # type: ignore[arg-type]

    run.asked = []  # type: ignore[attr-defined]
    monkeypatch.setattr("classify.data.views.augment", augment)
    return run


def test_a_run_with_views(
    workspace: Workspace, augmented: Callable[..., FitResult], rows: np.ndarray, digits: Data
) -> None:
    result = augmented("ridge", curve=True)
    manifest, y = workspace.manifest("digits"), digits[1][:300]
    train = np.flatnonzero(split(manifest).part == TRAIN)
    assert [asked.tolist() for asked in augmented.asked] == [train.tolist()]  # type: ignore[attr-defined]
    record = json.loads((result.run / "run.json").read_text())
    assert record["parameters"]["views"] == {"number": 2, "augment": "flip", "seed": 0}
    assert result.to_json()["views"] == 2 and result.to_json()["augment"] == "flip"
    assert result.heads[0].evaluation.n == 60
    text = (result.run / "report.md").read_text()
    assert (
        "- Views: 2 augmented views (flip) of each picture train" in text and "240 training pictures" in text
    )

    head = load_head(workspace, best_run(workspace)).head
    weight = shared_weight(None, len(train), VIEWS)
    fitted, names = rows[:, train].reshape(-1, 64), np.tile(y[train], VIEWS)
    own = clone(joblib.load(result.run / "head.joblib").pipeline)
    own.fit(fitted, names, classify__sample_weight=weight)
    np.testing.assert_allclose(head.scores(rows[0]), own.decision_function(rows[0]), atol=1e-4)

    plain = augmented("ridge", views=Views())
    assert plain.heads[0].cv_accuracy != result.heads[0].cv_accuracy and plain.to_json()["augment"] is None
    assert any(
        note.startswith("the test pictures are no longer new: 1 head was tested") for note in plain.notes
    )


def test_a_fine_tune_fits_its_heads_on_the_same_views(
    workspace: Workspace, augmented: Callable[..., FitResult], rows: np.ndarray, digits: Data
) -> None:
    run, said = augmented("ridge").run, []
    start = begin(workspace, load_head(workspace, run), Settings(), say=said.append)
    note = "001-fit-head trained on 2 augmented views (flip) of each picture: so does its head where it is fitted"
    assert any(line.startswith(note) for line in said) and any(line.startswith(note) for line in start.notes)
    assert len(start.trials) == 5
    for trial in start.trials:
        fitted, names = rows[:, trial.fit].reshape(-1, 64), np.tile(digits[1][trial.fit], VIEWS)
        weight = shared_weight(None, len(trial.fit), VIEWS)
        own = clone(trial.head.pipeline).fit(fitted, names, classify__sample_weight=weight)
        np.testing.assert_allclose(trial.head.scores(rows[0]), own.decision_function(rows[0]), atol=1e-4)


def test_options_that_contradict_each_other() -> None:
    with pytest.raises(UserError, match=r"--views with --augment strong"):
        Views.of(0, "strong")
    with pytest.raises(UserError, match=r"--views of 0 or more, received -1"):
        Views.of(-1)
    with pytest.raises(UserError, match=r"augmentation out of none, flip"):
        Views.of(2, "nonsense")
    assert Views.of(2).augment == "standard" and Views.of(0) == Views()
    assert [view.number for view in each_view(Views.of(2, "flip"))] == [1, 2]
