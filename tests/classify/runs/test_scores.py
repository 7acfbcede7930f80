"""scores.h5: out-of-fold answers that are what they are called, written, read and refused."""

from dataclasses import fields, replace
from pathlib import Path

import h5py
import joblib
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.data.splits import TEST, TRAIN, VAL
from classify.runs.folder import write_json
from classify.runs.head_file import load_head
from classify.runs.record import record_of
from classify.runs.scores import FILE, PARTS, Scores, load, write
from tests.classify.samples import make_manifest

SMALL = Scores(
    classes=("a/b", "\udcff <img src=x>"),
    key=np.arange(96, dtype=np.uint8).reshape(3, 32),
    path=("1.png", "odd \udcff '\".png", "3.png"),
    label=np.array([0, 1, 1], np.int32),
    part=np.array([0, 1, 2], np.uint8),
    fold=np.array([4, -1, -1], np.int16),
    group=np.array([7, 7, 0], np.int32),
    probability=np.array([[1, 0], [0.25, 0.75], [0.5, 0.5]], np.float32),
)


def same(one: Scores, other: Scores) -> bool:
    return all(np.array_equal(getattr(one, each.name), getattr(other, each.name)) for each in fields(Scores))


def test_training_rows_are_answered_by_the_fold_that_had_not_seen_them(workspace: Workspace, digits) -> None:
    result = fit_heads(workspace, FitOptions(models=["ridge"], curve=False))
    found, loaded = load(result.run), load_head(workspace, result.run)
    pipeline = joblib.load(result.run / "head.joblib").pipeline
    manifest, X = workspace.manifest("digits"), digits[0][:300]
    assert found.path == tuple(manifest.paths) and (found.key == manifest.key).all()
    assert [found.classes[code] for code in found.label] == digits[1][:300].tolist()
    train, test = found.part == PARTS.index("train"), found.part == PARTS.index("test")
    assert train.sum() == 240 and test.sum() == 60
    np.testing.assert_allclose(found.probability[test], loaded.head.predict_proba(X[test]), atol=1e-6)
    names, own = digits[1][:300][train], np.zeros((240, 10))
    for number, (fit, held) in enumerate(
        StratifiedKFold(5, shuffle=True, random_state=0).split(names, names)
    ):
        assert (found.fold[train][held] == number).all()
        model = clone(pipeline).fit(X[train][fit].astype(float), names[fit])
        own[held] = softmax(model.decision_function(X[train][held]) / loaded.head.temperature, axis=1)
    np.testing.assert_allclose(found.probability[train], own, atol=1e-4)
    assert (found.fold[test] == -1).all()
    cv = (found.probability.argmax(axis=1) == found.label)[train].mean()
    assert cv == pytest.approx(result.heads[0].cv_accuracy, abs=1e-9)


def test_a_validation_part_is_answered_by_the_head(workspace: Workspace, digits) -> None:
    result = fit_heads(workspace, FitOptions(models=["ridge"], curve=False, split="60/20/20"))
    found, head = load(result.run), load_head(workspace, result.run).head
    val = found.part == PARTS.index("val")
    assert 50 < val.sum() < 70 and set(found.part.tolist()) == {0, 1, 2}
    np.testing.assert_allclose(found.probability[val], head.predict_proba(digits[0][:300][val]), atol=1e-6)


def test_a_class_that_is_tested_alone_has_no_probability(build, digits) -> None:
    X, y = digits
    manifest = make_manifest(y[:300].astype(int), tuple("0123456789"))
    manifest.split[:] = np.where(manifest.label == 3, TEST, np.resize([TRAIN, TRAIN, VAL, TEST], 300))
    result = fit_heads(build(manifest, X[:300]), FitOptions(models=["centroid"], curve=False))
    found = load(result.run)
    assert found.classes == (*"012456789", "3") and found.probability.shape == (300, 10)
    assert (found.probability[:, 9] == 0).all() and ((found.label == 9) == (y[:300] == "3")).all()
    np.testing.assert_allclose(found.probability.sum(axis=1), 1, atol=1e-5)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path, SMALL)
    first = (tmp_path / FILE).read_bytes()
    assert same(load(tmp_path), SMALL) and len(SMALL) == 3
    write(tmp_path, load(tmp_path))
    assert (tmp_path / FILE).read_bytes() == first
    with h5py.File(tmp_path / FILE) as file:
        blob, at = file["path_bytes"][:].tobytes(), file["path_offset"][:]
        assert blob[at[0] : at[1]] == b"1.png" and file["probability"].dtype == np.float32


def test_a_run_of_an_older_version_is_told_which_command_makes_them(workspace: Workspace) -> None:
    run = fit_heads(workspace, FitOptions(models=["centroid"], curve=False)).run
    space = record_of(run)["space"]["id"][:12]
    (run / FILE).unlink()
    with pytest.raises(
        UserError, match=f"Run `fit-head --dataset digits --space {space}` to make a run that"
    ):
        load(run)
    record = dict(record_of(run))
    write_json(run / "run.json", record | {"command": "baseline"})
    with pytest.raises(UserError, match="Run `baseline --dataset digits`"):
        load(run)
    write_json(run / "run.json", {"command": "predict", "head": "001-fit-head"})
    with pytest.raises(UserError, match="Expected a run of fit-head, finetune or baseline"):
        load(run)


@pytest.mark.parametrize(
    "change",
    [
        {"label": np.array([0, 1, 2], np.int32)},
        {"label": np.array([-1, 1, 1], np.int32)},
        {"part": np.array([0, 1, 3], np.uint8)},
        {"probability": np.full((3, 2), np.nan, np.float32)},
        {"probability": np.full((3, 3), 0.5, np.float32)},
        {"fold": np.zeros(2, np.int16)},
        {"path": ("1.png",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_cannot_be_is_refused(change: dict, tmp_path: Path) -> None:
    write(tmp_path, replace(SMALL, **change))
    with pytest.raises(UserError, match="Expected the answers of a run to each picture"):
        load(tmp_path)


def test_a_damaged_file_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, SMALL)
    data = bytearray((tmp_path / FILE).read_bytes())
    at = data.index(np.float32(0.75).tobytes())
    data[at] ^= 1
    (tmp_path / FILE).write_bytes(data)
    with pytest.raises(UserError, match="SHA-256"):
        load(tmp_path)
    (tmp_path / FILE).write_bytes(data[:100])
    with pytest.raises(UserError, match=r"scores\.h5, but"):
        load(tmp_path)
