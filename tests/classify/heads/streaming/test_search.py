from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from sklearn.base import clone

from cache.dataset import Embedded
from cache.errors import UserError
from cache.space import Space
from cache.workspace import Workspace
from classify.data.labelled import Columns, Labelled
from classify.data.rows import blocks
from classify.data.rows.streamed import Sharded, Streamed
from classify.heads.fitting.scores import class_scores
from classify.heads.search import SearchOptions, SearchResult, search
from classify.heads.streaming import descent
from classify.heads.streaming.search import search_rows
from classify.heads.streaming.table import STREAMED
from classify.heads.table import HEADS, Head
from tests.classify.samples import SPACE, make_manifest

Rows = Callable[..., Streamed]
HALF = replace(SPACE, dtype="float16")
LINEAR = [name for name in STREAMED if name != "svm"]


@pytest.fixture
def streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rows:
    """Rows as float16 in three shards, in another order, read a few at a time."""
    monkeypatch.setattr(blocks, "BYTES", 20_000)

    def build(X: np.ndarray, space: Space = HALF) -> Streamed:
        manifest = make_manifest(np.zeros(len(X), int), ("a",))
        store = Workspace(tmp_path / space.id[:8]).create().store(space)
        for some in np.array_split(np.random.default_rng(0).permutation(len(X)), 3):
            store.add(manifest.key[some], X[some].astype(space.dtype))
        return Streamed.of(Embedded("digits", (store,), manifest, 0))

    return build


@pytest.fixture
def data() -> Labelled:
    """600 rows in five overlapping classes, the features of different size; exact in float16."""
    draw = np.random.default_rng(0)
    y = draw.integers(5, size=600)
    means = draw.normal(size=(5, 24)) * 1.2
    X = (means[y] + draw.normal(size=(600, 24))) * np.geomspace(0.2, 3, 24) + 2
    return Labelled(X.astype(np.float16).astype(np.float32), np.array(list("abcde"))[y])


def in_memory(name: str) -> Head:
    return HEADS[name].large or HEADS[name]


def centred(scores: np.ndarray) -> np.ndarray:
    """Less what all classes of a row share, which no probability depends on."""
    known = np.isfinite(scores)
    return scores - np.where(known, scores, 0).sum(axis=1, keepdims=True) / known.sum(axis=1, keepdims=True)


def assert_alike(ours: SearchResult, theirs: SearchResult, X: np.ndarray) -> None:
    assert ours.settings == theirs.settings
    assert [one.settings for one in ours.candidates] == [one.settings for one in theirs.candidates]
    assert all(one.solved for one in ours.candidates)
    means = [np.array([one.accuracy for one in each.candidates]) for each in (ours, theirs)]
    mine, other = (each.mean(axis=1) for each in means)
    near, closed = other >= other.max() - 0.05, ours.head in ("centroid", "lda", "ridge")
    # Of what is gone down to in steps, settings that have hardly learnt anything are told by a hair.
    assert np.abs(mine - other)[near].max() <= 2.01 / len(X)
    assert np.abs(mine - other).max() <= (1.01 / len(X) if closed else 0.02)
    far = 0.02 if closed else 0.06
    assert abs(ours.cv_accuracy - theirs.cv_accuracy) <= 1e-3
    scores = [centred(each.scores) for each in (ours, theirs)]
    assert (np.isfinite(scores[0]) == np.isfinite(scores[1])).all()
    off = np.nanmax(np.abs(np.where(np.isfinite(scores[0]), scores[0] - np.nan_to_num(scores[1]), 0)))
    assert off <= far * np.nanstd(scores[1][np.isfinite(scores[1])])
    rows = ours.columns.of(X)
    kept, other = centred(ours.pipeline.scores(rows)), centred(class_scores(theirs.pipeline, rows))
    assert np.abs(kept - other).max() <= far * other.std()


@pytest.mark.parametrize("name", LINEAR)
def test_streamed_rows_give_the_same_settings_accuracies_and_head(
    name: str, data: Labelled, streamed: Rows
) -> None:
    ours = search_rows(HEADS[name], replace(data, X=streamed(data.X)))
    assert_alike(ours, search(in_memory(name), data), data.X)


@pytest.mark.parametrize("name", ["logreg", "svm"])
def test_rows_that_memory_holds_as_they_are_stored_are_read_once_a_form(
    name: str, data: Labelled, streamed: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, take = [0], Sharded.take

    def counted(self: Sharded, at: np.ndarray) -> np.ndarray:
        read[0] += len(at)
        return take(self, at)

    monkeypatch.setattr(Sharded, "take", counted)
    rows = streamed(data.X)
    from_disk, (on_disk, read[0]) = search_rows(HEADS[name], replace(data, X=rows)), (read[0], 0)
    rows.spare = rows.stored_bytes
    ours = search_rows(HEADS[name], replace(data, X=rows))
    assert ours.settings == from_disk.settings and abs(ours.cv_accuracy - from_disk.cv_accuracy) <= 2 / 600
    assert read[0] < on_disk / 4


@pytest.mark.parametrize("name", LINEAR)
def test_of_two_classes_one_score_tells(name: str, data: Labelled, streamed: Rows) -> None:
    two = np.isin(data.y, ["a", "b"])
    few = Labelled(data.X[two], data.y[two])
    ours = search_rows(HEADS[name], replace(few, X=streamed(few.X)))
    assert_alike(ours, search(in_memory(name), few), few.X)


@pytest.mark.parametrize("name", LINEAR)
def test_weights_and_groups_are_those_of_rows_in_memory(name: str, data: Labelled, streamed: Rows) -> None:
    draw = np.random.default_rng(1)
    hard = replace(data, weight=draw.uniform(0.2, 3, len(data.y)), group=draw.integers(200, size=len(data.y)))
    ours, theirs = search_rows(HEADS[name], replace(hard, X=streamed(hard.X))), search(in_memory(name), hard)
    assert_alike(ours, theirs, hard.X)
    approximated = [f"{name}: approximated, as an exact kernel on 600 rows takes too long"] * bool(
        HEADS[name].large
    )
    assert ours.notes == approximated + theirs.notes


@pytest.mark.parametrize("name", ["centroid", "lda", "ridge"])
def test_a_class_that_a_fold_lacks_has_no_score_there(name: str, data: Labelled, streamed: Rows) -> None:
    rare = np.flatnonzero(data.y == "e")[:2]
    kept = np.sort(np.r_[np.flatnonzero(data.y != "e"), rare])
    few = Labelled(
        data.X[kept], data.y[kept], group=np.where(data.y[kept] == "e", 0, 1 + np.arange(len(kept)))
    )
    ours = search_rows(HEADS[name], replace(few, X=streamed(few.X)))
    assert not np.isfinite(ours.scores).all()
    assert_alike(ours, search(in_memory(name), few), few.X)


@pytest.mark.parametrize("name", LINEAR)
def test_which_parts_to_use_is_searched_too(name: str, data: Labelled, streamed: Rows) -> None:
    choices = (Columns("top", ((4, 10), (12, 24))), Columns("all", ((0, 4), (4, 10), (10, 12), (12, 24))))
    parts = replace(data, choices=choices)
    ours = search_rows(HEADS[name], replace(parts, X=streamed(parts.X)))
    assert_alike(ours, search(in_memory(name), parts), parts.X)


@pytest.mark.parametrize("classes", ["abcde", "ab"])
def test_a_kernel_is_that_of_rows_in_memory_where_all_are_landmarks(
    classes: str, data: Labelled, streamed: Rows
) -> None:
    some = np.isin(data.y, list(classes))
    few = Labelled(data.X[some], data.y[some])
    ours = search_rows(HEADS["svm"], replace(few, X=streamed(few.X)))
    theirs = search(in_memory("svm"), few)
    means = [np.array([one.mean for one in each.candidates]) for each in (ours, theirs)]
    # Rows are standardised by all of them, not by those that a fold fits on.
    assert [one.settings for one in ours.candidates] == [one.settings for one in theirs.candidates]
    assert np.abs(means[0] - means[1]).max() <= 0.01
    assert ours.pipeline.kind == "nystroem" and ours.pipeline.scaling == "standard"
    model = clone(theirs.template).set_params(**ours.params).fit(few.X, few.y)
    assert (ours.pipeline.predict(few.X) == model.predict(few.X)).mean() >= 0.98
    assert ours.notes == [f"svm: approximated, as an exact kernel on {len(few.y)} rows takes too long"]


def test_rows_that_are_gone_through_often_are_held_where_there_is_room(
    data: Labelled, streamed: Rows
) -> None:
    rows, read = streamed(data.X), []
    original = Streamed.__getitem__

    def noted(self: Streamed, places: np.ndarray) -> np.ndarray:
        read.append(len(places))
        return original(self, places)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Streamed, "__getitem__", noted)
        apart = search_rows(HEADS["svm-linear"], replace(data, X=rows))
        often, read[:] = sum(read), []
        rows.spare = 4 * data.X.size
        held = search_rows(HEADS["svm-linear"], replace(data, X=rows))
    # Each of two forms: a mean, sums, to be held; the best, too: to be held for the fit on all rows, and scores.
    assert sum(read) == 8 * len(data.y) < often
    assert held.settings == apart.settings and np.abs(held.scores - apart.scores).max() < 0.05


def test_settings_that_are_clearly_behind_are_left_and_the_choice_is_the_same(
    streamed: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(3)
    y = draw.integers(4, size=2_000)
    X = draw.normal(size=(4, 16))[y] * 0.5 + draw.normal(size=(2_000, 16)) * np.geomspace(0.05, 2, 16)
    data = Labelled(X.astype(np.float16).astype(np.float32), np.array(list("abcd"))[y])
    monkeypatch.setattr(descent, "MANY", 1_000)
    ours, theirs = (
        search_rows(HEADS["logreg"], replace(data, X=streamed(data.X))),
        search(HEADS["logreg"], data),
    )
    left = np.array([not one.solved for one in ours.candidates])
    mine, other = (np.array([one.mean for one in each.candidates]) for each in (ours, theirs))
    assert 0 < left.sum() < len(left) and f"{left.sum()} of {len(left)} settings" in ours.notes[-1]
    assert ours.settings == theirs.settings and abs(ours.cv_accuracy - theirs.cv_accuracy) <= 1e-3
    assert other[left].max() < other.max()
    assert np.abs(mine - other)[~left].max() <= 2e-3 and np.abs(mine - other)[left].max() <= 0.02


def test_the_answer_does_not_depend_on_threads(data: Labelled, streamed: Rows) -> None:
    rows = replace(data, X=streamed(data.X))
    one, three = (search_rows(HEADS["ridge"], rows, SearchOptions(n_jobs=jobs)) for jobs in (1, 3))
    assert (one.scores == three.scores).all()
    assert (one.pipeline.arrays["coef"] == three.pipeline.arrays["coef"]).all()


def test_a_search_out_of_time_keeps_what_is_complete(data: Labelled, streamed: Rows) -> None:
    times = iter(range(1000))
    how = SearchOptions(seconds=2.5, clock=lambda: float(next(times)))
    found = search_rows(HEADS["ridge"], replace(data, X=streamed(data.X)), how)
    assert (
        0 < len(found.candidates) < 28
        and f"out of time after {len(found.candidates)} of 28" in found.notes[0]
    )
    with pytest.raises(UserError, match="Raise --budget"):
        search_rows(HEADS["ridge"], replace(data, X=streamed(data.X)), replace(how, seconds=0.5))


def test_streamed_rows_are_fitted_here_whoever_else_there_is(data: Labelled, streamed: Rows) -> None:
    def elsewhere(*_: object) -> NoReturn:
        raise AssertionError("the rows are not there")

    rows = replace(data, X=streamed(data.X))
    found = search_rows(HEADS["ridge"], rows, SearchOptions(spread=elsewhere))
    assert any(note.startswith("ridge is fitted on this machine") for note in found.notes)


def test_a_head_that_needs_all_rows_at_once_is_refused(data: Labelled, streamed: Rows) -> None:
    with pytest.raises(
        UserError, match=r"ridge.*received knn: 600 rows of 24 numbers do not fit into --max-memory-gb"
    ):
        search_rows(HEADS["knn"], replace(data, X=streamed(data.X)))
