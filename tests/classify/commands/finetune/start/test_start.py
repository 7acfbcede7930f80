"""A head is judged only on pictures that it was not fitted on, and what it cannot be is said."""

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone

from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from cache.storage.json_file import write_json
from cache.workspace import Workspace
from classify.commands.finetune.start.head import head_of
from classify.commands.finetune.start.start import Start, begin
from classify.commands.finetune.start.trials import FEW, FOLDS
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.data.division import divide
from classify.data.splits import TEST, TRAIN, VAL
from classify.heads.calibration import CalibratedHead
from classify.heads.fitting.fitters import fit_weighted
from classify.heads.fitting.scores import class_scores
from classify.heads.table import HEADS
from classify.models.linear import fold
from classify.runs.head_file import save_head
from classify.training.settings import Settings
from tests.classify.samples import make_manifest

Data = tuple[np.ndarray, np.ndarray]
Build = Callable[[Manifest, np.ndarray], Workspace]
WIDTH = 12
TRAINING, VALIDATING, TESTING = (SPLITS.index(name) for name in ("train", "val", "test"))


def sample(counts: list[int], seed: int = 0, spread: float = 2.0) -> tuple[Manifest, np.ndarray]:
    """Embeddings of overlapping classes in mixed order, so many of each, and a manifest of them."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(len(counts)), counts))
    centres = random.normal(size=(len(counts), WIDTH)) * 1.5
    X = centres[labels] + random.normal(size=(len(labels), WIDTH)) * spread
    return make_manifest(labels, tuple(f"class {i}" for i in range(len(counts)))), X.astype(np.float32)


def headed(workspace: Workspace, model: str = "ridge", accuracy: float = 0.5, **options: object) -> Path:
    """Leave a head as `fit_heads` does, without its search and its plots; its accuracy may be anything."""
    given = FitOptions(models=(model,), **options)  # type: ignore[arg-type]
    data = workspace.load()
    asked = {name: getattr(given, name) for name in ("test_size", "seed", "group_by", "class_weight")}
    division = divide(workspace, data, shares=given.split, **asked)
    pipeline = fit_weighted(HEADS[model].make(), division.X, division.y, division.weight)
    run = workspace.new_run("fit-head")
    record = {
        "command": "fit-head",
        "parameters": asdict(given),
        "dataset": data.name,
        "data_sha256": division.sha256,
        "space": {"id": data.space.id, "json": data.space.to_json()},
        "head": {"name": model, "cv_accuracy": accuracy},
    }
    save_head(run, CalibratedHead(pipeline, 0.7), record)
    if accuracy >= (workspace.state().get("run") or {}).get("cv_accuracy", 0):
        workspace.remember(run={"path": str(run), "cv_accuracy": accuracy})
    return run


def begun(workspace: Workspace, run: Path | None = None, **settings: object) -> Start:
    loaded = head_of(workspace, run, trust=False)
    return begin(workspace, loaded, Settings(**settings), say=lambda line: None)  # type: ignore[arg-type]


def parts(start: Start) -> np.ndarray:
    return start.division.split.part


@pytest.fixture
def small(build: Build) -> Workspace:
    """90 pictures of three classes with a head: validated in folds."""
    workspace = build(*sample([40, 30, 20]))
    headed(workspace)
    return workspace


# ---- the parts


def test_with_refit_all_known_pictures_train_in_the_end(build: Build) -> None:
    workspace = build(*sample([300, 300, 200]))
    headed(workspace)
    plain, again = begun(workspace), begun(workspace, refit=True)
    assert np.array_equal(plain.trained, plain.train)
    assert np.array_equal(again.train, plain.train)
    assert np.array_equal(again.trained, np.flatnonzero(parts(again) == TRAIN))


def test_a_validation_part_of_its_own_has_weights_and_only_known_classes_train(build: Build) -> None:
    manifest, X = sample([60, 40, 20, 2])
    manifest.split[:] = TRAINING
    manifest.split[::4] = VALIDATING
    manifest.split[1::5] = TESTING
    manifest.split[manifest.label == 3] = VALIDATING  # a class that never trained
    workspace = build(manifest, X)
    headed(workspace, "ridge", class_weight="balanced")
    start = begun(workspace, refit=True)
    known = start.val[start.codes(start.val) >= 0]
    assert len(known) == len(start.val) - 2
    assert np.array_equal(start.trained, np.union1d(start.train, known))
    weight = start.weight(start.trained)
    assert weight is not None and weight.mean() == pytest.approx(1)
    codes = start.codes(start.trained)
    np.testing.assert_allclose(np.bincount(codes, weight), weight.sum() / 3)


def test_where_folds_decide_what_asks_a_part_is_told_to_be_idle(small: Workspace) -> None:
    notes = begun(small, refit=True, mirror=True, larger=True).notes
    for name in ("--larger", "--mirror", "--refit"):
        assert any(note.startswith(f"{name} has no effect: of ") for note in notes)
    assert not any("no effect" in note for note in begun(small).notes)


def test_a_head_of_older_data_is_named(small: Workspace) -> None:
    assert not any("was extracted last" in note for note in begun(small).notes)
    data = small.load().name
    small.remember(dataset="newer")
    assert any(f" is of {data}, though newer was extracted last" in note for note in begun(small).notes)


def test_each_training_picture_validates_once_where_there_are_few(small: Workspace) -> None:
    start = begun(small)
    assert len(start.trials) == FOLDS
    train = np.flatnonzero(parts(start) == TRAIN)
    assert np.array_equal(np.sort(start.val), train) and np.array_equal(start.train, train)
    codes = start.codes(train)
    for trial in start.trials:
        assert not set(trial.fit) & set(trial.val)
        assert np.array_equal(np.sort(np.concatenate([trial.fit, trial.val])), train)
        share = np.bincount(start.codes(trial.val)) / np.bincount(codes)
        np.testing.assert_allclose(share, 1 / FOLDS, atol=0.07)  # stratified
    again = begun(small)
    assert all(np.array_equal(a.val, b.val) for a, b in zip(start.trials, again.trials, strict=True))
    idle = (
        f"--val-size 0.3 has no effect: of {len(train)} training pictures, {FEW} at most, each validates once"
    )
    assert any(note.startswith(idle) for note in begun(small, val_size=0.3).notes)
    assert not any("--val-size" in note for note in again.notes)


def test_a_share_of_each_class_validates_where_there_are_many(build: Build) -> None:
    manifest, X = sample([400, 200, 100])
    workspace = build(manifest, X)
    headed(workspace, "centroid", test_size=0.15)
    for share in (0.15, 0.3):
        start = begun(workspace, val_size=share)
        (trial,) = start.trials
        train = np.flatnonzero(parts(start) == TRAIN)
        assert len(train) > FEW and np.array_equal(np.sort(np.concatenate([trial.fit, trial.val])), train)
        found = np.bincount(start.codes(trial.val)) / np.bincount(start.codes(train))
        np.testing.assert_allclose(found, share, atol=0.01)
    assert not any("no picture of" in note or "--val-size" in note for note in start.notes)


@pytest.mark.parametrize("counts", [[60, 50, 40], [300, 250, 200]])
def test_the_validation_part_of_fit_head_validates(build: Build, counts: list[int]) -> None:
    workspace = build(*sample(counts))
    headed(workspace, "centroid", split="60/20/20")
    start = begun(workspace)
    (trial,) = start.trials
    assert np.array_equal(trial.val, np.flatnonzero(parts(start) == VAL))
    assert np.array_equal(trial.fit, np.flatnonzero(parts(start) == TRAIN))
    np.testing.assert_allclose(np.bincount(start.codes(trial.val)) / counts, 0.2, atol=0.02)
    assert trial.head is start.loaded.head  # it was fitted on these very rows
    assert not any("has changed since" in note for note in start.notes)
    assert (
        "--val-size 0.3 has no effect: there is a validation part already"
        in begun(workspace, val_size=0.3).notes
    )


@pytest.mark.parametrize("counts", [[60, 50, 40], [300, 250, 200]])
def test_copies_and_groups_stay_on_one_side(build: Build, counts: list[int]) -> None:
    manifest, X = sample(counts)
    random = np.random.default_rng(1)
    who = random.integers(0, len(X) // 5, len(X))
    who[::4] = -1
    manifest.columns["who"] = ["" if one < 0 else str(one) for one in who]
    for code in range(3):  # the same picture under two names, with nobody's name on it
        twice = np.flatnonzero((manifest.label == code) & (who < 0))[:2]
        manifest.key[twice[1]], X[twice[1]] = manifest.key[twice[0]], X[twice[0]]
    workspace = build(manifest, X)
    headed(workspace, "centroid", group_by="who", test_size=0.1)
    start = begun(workspace)
    assert len(start.trials) == (FOLDS if sum(counts) < FEW else 1)
    shared = 0
    for trial in start.trials:
        ours, theirs = who[trial.fit], who[trial.val]
        assert not (set(ours[ours >= 0]) & set(theirs[theirs >= 0]))
        keys = [{manifest.key[row].tobytes() for row in rows} for rows in (trial.fit, trial.val)]
        assert not keys[0] & keys[1]
        shared += len(trial.val) - len(keys[1])
    assert shared or len(start.trials) == 1  # copies do lie in the parts
    both = {who[row] for row in start.train} & set(who[parts(start) == TEST])
    assert both <= {-1}


def test_a_val_part_of_the_data_set_is_used_as_it_is(build: Build) -> None:
    manifest, X = sample([40, 40, 40])
    manifest.split[:] = np.random.default_rng(0).choice(
        [TRAINING, VALIDATING, TESTING], 120, p=[0.6, 0.2, 0.2]
    )
    workspace = build(manifest, X)
    run = headed(workspace)
    start = begun(workspace)
    (trial,) = start.trials
    assert np.array_equal(trial.fit, np.flatnonzero(manifest.split == TRAINING))
    assert np.array_equal(trial.val, np.flatnonzero(manifest.split == VALIDATING))
    # The head was fitted on just these pictures: it is handed on itself, and not one like it.
    assert trial.head is start.loaded.head and start.loaded.folder == run
    assert np.array_equal(trial.linear.kernel, start.linear.kernel)
    assert np.array_equal(trial.linear.bias, start.linear.bias)


# ---- the heads


def test_heads_are_fitted_without_the_pictures_that_judge_them(build: Build) -> None:
    workspace = build(*sample([40, 30, 20]))
    run = fit_heads(workspace, FitOptions(models=("logreg",), folds=3, curve=False, n_jobs=1)).run
    start = begun(workspace)
    assert start.loaded.folder == run and len(start.notes) == len(start.division.notes)
    X, names = start.data.embedding, start.division.names
    right = []
    for trial in start.trials:
        expected = clone(joblib.load(start.loaded.folder / "head.joblib").pipeline).fit(
            X[trial.fit], names[trial.fit]
        )
        scores = class_scores(expected, X[trial.val])
        np.testing.assert_allclose(trial.head.scores(X[trial.val]), scores, atol=1e-8)
        logits = trial.linear.logits(X[trial.val])
        difference = (
            logits - scores / start.loaded.head.temperature
        )  # but for what all classes of a row share
        np.testing.assert_allclose(difference - difference[:, :1], 0, atol=1e-4)
        leaky = start.linear.logits(X[trial.val])
        assert np.abs(leaky - leaky[:, :1] - (logits - logits[:, :1])).max() > 0.01
        right.append(expected.predict(X[trial.val]) == names[trial.val])
    assert start.floor == pytest.approx(np.concatenate(right).mean())
    assert not start.distilled and np.array_equal(start.linear.kernel, fold(start.loaded.head).kernel)  # type: ignore[union-attr]


def test_the_class_of_one_picture_is_never_the_answer_where_it_validates(build: Build) -> None:
    manifest, X = sample([20, 20, 1, 20])
    workspace = build(manifest, X)
    run = headed(workspace)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scikit-learn's word of rare classes was said by fit-head
        start = begun(workspace, run)
    (lone,) = np.flatnonzero(manifest.label == 2)
    (trial,) = [trial for trial in start.trials if lone in trial.val]
    assert "class 2" not in trial.head.classes_ and trial.linear.classes == manifest.classes
    logits = trial.linear.logits(X)
    assert (logits.argmax(axis=1) != 2).all() and (logits[:, 2] < logits.min(axis=1, initial=0) + 1).all()
    known = [0, 1, 3]
    expected = trial.head.scores(X) / trial.head.temperature
    np.testing.assert_allclose(
        logits[:, known] - logits[:, :1], expected - expected[:, :1], atol=1e-4
    )  # the other columns are where they belong
    assert start.codes(np.array([lone])) == [2] and start.floor < 1


def test_classes_that_nothing_validates_are_named(build: Build) -> None:
    manifest, X = sample([400, 300, 1])
    workspace = build(manifest, X)
    start = begun(workspace, headed(workspace, "centroid", test_size=0.1))
    assert np.flatnonzero(manifest.label == 2)[0] in start.train
    assert [note for note in start.notes if "the validation part has no picture of class 2" in note]


def test_a_class_that_never_trained_is_an_error_of_every_head(build: Build) -> None:
    manifest, X = sample([40, 40, 10])
    manifest.split[:] = np.random.default_rng(0).choice([TRAINING, VALIDATING, TESTING], 90)
    manifest.split[manifest.label == 2] = VALIDATING
    workspace = build(manifest, X)
    headed(workspace)
    start = begun(workspace)
    codes = start.codes(start.val)
    assert np.array_equal(codes == -1, manifest.label[start.val] == 2)
    assert start.linear.classes == ("class 0", "class 1")
    known = (start.linear.logits(X[start.val]).argmax(axis=1) == codes)[codes >= 0]
    assert start.floor == pytest.approx(known.sum() / len(codes))


# ---- what is not linear


@pytest.fixture
def kernel(build: Build) -> Workspace:
    """Classes 0 and 1 lie on both diagonals: a kernel head alone tells them apart."""
    manifest, X = sample([50, 50, 30], spread=0.3)
    side = np.random.default_rng(1).choice([-4, 4], len(X))
    X[:, 0], X[:, 1] = side, np.where(manifest.label == 1, -side, side)
    X[:, 2:] = 8 * (manifest.label == 2)[:, None]
    X += np.random.default_rng(2).normal(size=X.shape)
    workspace = build(manifest, X)
    headed(workspace, "svm", 0.9)
    return workspace


def test_a_kernel_head_is_distilled_and_its_cost_is_told(kernel: Workspace) -> None:
    lines: list[str] = []
    start = begin(kernel, head_of(kernel, None, trust=False), Settings(), say=lines.append)
    X = start.data.embedding
    before, after = [], []
    for trial in start.trials:
        truth = start.division.names[trial.val]
        before.append(trial.head.predict(X[trial.val]) == truth)
        after.append(
            np.array(trial.linear.classes)[trial.linear.logits(X[trial.val]).argmax(axis=1)] == truth
        )
    accuracy, lost = np.concatenate(before).mean(), np.concatenate(after).mean()
    assert start.distilled and start.floor == pytest.approx(accuracy)
    assert lost < accuracy - 0.05  # or else this tells nothing
    (note,) = [note for note in start.notes if "svm is not linear" in note]
    assert f"{accuracy:.1%} became {lost:.1%} (n = {len(start.val)})" in note and lines == [note]


def test_all_linear_likenesses_scale_alike(kernel: Workspace) -> None:
    """One network takes all of these heads, and it has one scaling."""
    start = begun(kernel)
    assert {trial.linear.scaling for trial in start.trials} == {start.linear.scaling}


def test_a_linear_head_is_preferred_to_a_better_kernel_head(kernel: Workspace) -> None:
    svm = begun(kernel).loaded.folder
    runs = {name: headed(kernel, name, cv) for name, cv in (("centroid", 0.5), ("ridge", 0.7), ("lda", 0.6))}
    headed(kernel, "knn", 0.8)  # is not linear either
    assert kernel.state()["run"]["path"] == str(svm)  # still the best
    start = begun(kernel)
    assert not start.distilled and start.loaded.folder == runs["ridge"]
    assert begun(kernel, svm).distilled  # asked for by name
    for run in runs.values():  # on other pictures
        record = json.loads((run / "run.json").read_text())
        write_json(run / "run.json", record | {"data_sha256": "0" * 64})
    assert begun(kernel).loaded.folder == svm


def test_a_fine_tuned_best_run_leads_back_to_its_head(small: Workspace) -> None:
    head = begun(small).loaded.folder
    other = headed(small, "centroid")
    tuned = small.new_run("finetune")
    record = {"command": "finetune", "start": {"run": str(head)}, "data_sha256": "0" * 64}
    write_json(tuned / "run.json", record)
    small.remember(run=small.state()["run"] | {"path": str(tuned), "cv_accuracy": 1.0})
    assert other != head and begun(small).loaded.folder == head
    # After a move, what lies beside it is meant.
    moved = small.root.parent / "elsewhere"
    moved.mkdir()
    shutil.move(small.root, moved / ".coldframe")
    shutil.move(small.root.parent / "runs", moved / "runs")
    assert begun(Workspace(moved / ".coldframe")).loaded.folder == moved / "runs" / head.name


# ---- weights


def test_balanced_weights_reach_the_rows_they_belong_to(small: Workspace) -> None:
    assert begun(small).weight(np.arange(3)) is None
    start = begun(small, class_weight="balanced")
    names = start.division.names
    rows = np.random.default_rng(0).permutation(start.train)[:40]
    count = {name: int((names[start.train] == name).sum()) for name in np.unique(names)}
    expected = np.array([1 / count[name] for name in names[rows]])
    found = start.weight(rows)
    assert found is not None
    np.testing.assert_allclose(found, expected / expected.mean())
    assert found.mean() == pytest.approx(1)
    whole = start.weight(start.train)
    assert whole is not None
    sums = [whole[names[start.train] == name].sum() for name in count]
    np.testing.assert_allclose(sums, sums[0])
    trial = start.trials[1]
    weighted = np.array([1 / count[name] for name in names[trial.fit]]) * len(start.train) / len(count)
    X = start.data.embedding
    pipeline = clone(joblib.load(start.loaded.folder / "head.joblib").pipeline)
    pipeline.fit(X[trial.fit], names[trial.fit], classify__sample_weight=weighted)
    np.testing.assert_allclose(trial.head.scores(X), class_scores(pipeline, X), atol=1e-6)


def test_weights_are_balanced_where_the_head_was_unless_told_otherwise(small: Workspace) -> None:
    run = headed(small, class_weight="balanced")
    assert begun(small, run).division.weight is not None
    assert begun(small, run, class_weight="none").division.weight is None


def test_weights_of_the_table_follow_their_rows(build: Build) -> None:
    manifest, X = sample([40, 40])
    weight = np.random.default_rng(0).uniform(0.5, 2, 80).round(3)
    manifest.columns["weight"] = [str(one) for one in weight]
    workspace = build(manifest, X)
    headed(workspace)
    start = begun(workspace)
    for rows in (start.train, start.trials[2].fit, start.trials[0].fit[::-1]):
        found = start.weight(rows)
        assert found is not None
        np.testing.assert_allclose(found, weight[rows] / weight[rows].mean())


# ---- changes and errors


def test_a_data_set_that_changed_is_told_of(build: Build) -> None:
    manifest, X = sample([40, 40, 40])
    manifest.split[:] = np.random.default_rng(0).choice(
        [TRAINING, VALIDATING, TESTING], 120, p=[0.6, 0.2, 0.2]
    )
    workspace = build(manifest, X)
    run = headed(workspace)
    assert not any("has changed" in note for note in begun(workspace).notes)
    train = np.flatnonzero(manifest.split == TRAINING)
    manifest.label[train[0]] = (manifest.label[train[0]] + 1) % 3  # as many pictures as before
    workspace.save_manifest("digits", manifest)
    start = begun(workspace)
    assert [note for note in start.notes if f"digits has changed since {run.name}" in note]
    (trial,) = start.trials  # the old head has learnt the old label
    assert trial.head is not start.loaded.head
    expected = clone(joblib.load(start.loaded.folder / "head.joblib").pipeline).fit(
        X[train], start.division.names[train]
    )
    np.testing.assert_allclose(trial.head.scores(X), class_scores(expected, X), atol=1e-8)


def test_a_class_that_is_new_since_asks_for_another_head(build: Build) -> None:
    manifest, X = sample([40, 40, 40])
    workspace = build(manifest, X)
    old = np.flatnonzero(manifest.label < 2)
    workspace.save_manifest("digits", manifest.select(old))
    run = headed(workspace)
    workspace.save_manifest("digits", manifest)
    with pytest.raises(UserError, match=f"{run.name} knows, received class 2 too. Run fit-head again"):
        begun(workspace)


def test_without_a_head_there_is_no_start(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="fit-head"):
        begun(workspace)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ((1, 1), "two training pictures of some class.*received 2 training pictures"),
        ((6, 1), "two classes at least, received 5 of 'class 0'"),
        ((0, 6), "two classes at least, received .* of 'class 1'"),
    ],
)
def test_too_few_pictures_are_refused_in_words(build: Build, keep: tuple[int, int], message: str) -> None:
    manifest, X = sample([20, 20])
    workspace = build(manifest, X)
    headed(workspace)
    part = parts(begun(workspace))
    train = [np.flatnonzero((part == TRAIN) & (manifest.label == code))[:n] for code, n in enumerate(keep)]
    rows = np.sort(np.concatenate([*train, np.flatnonzero(part == TEST)]))
    workspace.save_manifest("digits", manifest.select(rows))
    with pytest.raises(UserError, match=message):
        begun(workspace)


def test_a_share_that_is_no_picture_is_refused(build: Build) -> None:
    workspace = build(*sample([7] * 100))
    headed(workspace, "centroid", test_size=0.2)
    with pytest.raises(UserError, match="enough to set 1% of them aside"):
        begun(workspace, val_size=0.01)


def test_lost_embeddings_are_refused(small: Workspace) -> None:
    shutil.rmtree(small.root / "spaces")
    with pytest.raises(UserError):
        begun(small)


def test_a_foreign_head_is_not_unpickled(
    small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(small).loaded.folder
    monkeypatch.setenv("COLDFRAME_STATE", str(tmp_path / "state"))
    assert begun(small, run).loaded.folder == run  # as arrays it is
    (run / "head.h5").unlink()
    with pytest.raises(UserError, match="--trust"):
        begun(small, run)
    assert head_of(small, run, trust=True).folder == run
