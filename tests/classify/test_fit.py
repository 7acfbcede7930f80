import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.workspace import Workspace
from classify import fit, heads, training
from classify.fit import fit_heads
from classify.heads import HEADS
from classify.predict import check_space
from classify.runs import best_run, load_head
from classify.splits import TEST, TRAIN, split
from tests.classify.samples import SPACE, make_manifest

Data = tuple[np.ndarray, np.ndarray]


def test_a_run_holds_all_that_people_look_at(workspace: Workspace) -> None:
    said: list[str] = []
    result = fit_heads(workspace, ["logreg", "svm-linear"], on_progress=said.append)
    assert {path.name for path in result.run.iterdir()} == {
        "head.joblib",
        "run.json",
        "report.json",
        "predictions.csv",
        "confusion.txt",
        "confusion.png",
        "leaderboard.txt",
    }
    assert result.run.parent == workspace.runs
    line = result.to_json()["heads"][0]
    assert list(result.to_json()) == ["run", "best", "heads", "notes"]
    assert line["name"] == result.best and line["cv_accuracy"] >= result.heads[1].cv_accuracy
    assert line["ci_low"] < line["test_accuracy"] < line["ci_high"] and line["test_n"] == 60
    assert any(text.startswith("logreg: cross-validated accuracy 9") for text in said)
    text = (result.run / "leaderboard.txt").read_text()
    assert text.startswith(result.to_text().partition("\nbest:")[0])
    json.dumps(result.to_json())

    record = json.loads((result.run / "run.json").read_text())
    assert record["parameters"] == {
        "models": ["logreg", "svm-linear"],
        "folds": 5,
        "test_size": 0.2,
        "seed": 0,
        "n_jobs": None,
    }
    assert record["space"]["id"] == SPACE.id and record["dataset"] == "digits"
    assert record["split"] == {"train": 240, "test": 60}
    report = json.loads((result.run / "report.json").read_text())
    assert len(report["heads"][0]["candidates"]) == 7 and report["heads"][0]["test_part_read"]


def test_the_kept_head_is_the_one_that_was_tested(workspace: Workspace, digits: Data) -> None:
    result = fit_heads(workspace, ["svm"])
    loaded = load_head(workspace, best_run(workspace))
    check_space(loaded, SPACE, 64)
    manifest = workspace.manifest("digits")
    part = split(manifest).part
    X, y = digits[0][:300], digits[1][:300]
    assert loaded.head.score(X[part == TEST], y[part == TEST]) == result.heads[0].evaluation.accuracy
    with (result.run / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [manifest.paths[i] for i in np.flatnonzero(part == TEST)]
    assert [row["predicted"] for row in rows] == loaded.head.predict(X[part == TEST]).tolist()


def test_nothing_but_the_test_part_is_kept_from_training(
    workspace: Workspace, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = fit.search

    def spy(head, X, y, **options):
        seen.append((X, y))
        return original(head, X, y, **options)

    monkeypatch.setattr(fit, "search", spy)
    fit_heads(workspace, ["logreg"])
    part = split(workspace.manifest("digits")).part
    assert (seen[0][0] == digits[0][:300][part == TRAIN]).all()
    assert (seen[0][1] == digits[1][:300][part == TRAIN]).all()


def test_the_test_part_is_read_once_a_head_and_after_the_search(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for module, name in ((fit, "search"), (training, "evaluate")):
        original = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, _o=original, _n=name, **k: order.append(_n) or _o(*a, **k)
        )
    fit_heads(workspace, ["logreg", "svm-linear"])
    assert order == ["search", "evaluate"] * 2


def test_the_best_is_chosen_by_cross_validation_and_ties_are_said(workspace: Workspace) -> None:
    result = fit_heads(workspace, ["all"])
    accuracies = [head.cv_accuracy for head in result.heads]
    assert accuracies == sorted(accuracies, reverse=True) and result.best == result.heads[0].name
    assert any(note.startswith("a tie") for note in result.notes)


def test_of_equal_heads_the_simpler_is_kept(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = replace(HEADS["logreg"], name="twin", rank=-1)
    monkeypatch.setitem(heads.HEADS, "twin", twin)
    assert fit_heads(workspace, ["logreg", "twin"]).best == "twin"
    monkeypatch.setitem(heads.HEADS, "twin", replace(twin, rank=9))
    assert fit_heads(workspace, ["twin", "logreg"]).best == "logreg"


def test_the_same_command_gives_the_same_run(workspace: Workspace) -> None:
    one, two = (fit_heads(workspace, ["logreg"]) for _ in range(2))
    assert one.run != two.run
    assert (one.run / "predictions.csv").read_bytes() == (two.run / "predictions.csv").read_bytes()
    hashes = [json.loads((r.run / "run.json").read_text())["data_sha256"] for r in (one, two)]
    assert hashes[0] == hashes[1]
    assert fit_heads(workspace, ["logreg"], seed=1).heads[0].to_json() != two.heads[0].to_json()


def test_a_worse_run_of_the_same_data_does_not_become_the_best(workspace: Workspace) -> None:
    first = fit_heads(workspace, ["logreg"])
    entry = workspace.state()["run"]
    assert entry["path"] == str(first.run) and entry["cv_accuracy"] == first.heads[0].cv_accuracy
    assert entry["dataset"] == "digits" and entry["space"] == SPACE.id
    workspace.remember(run={**entry, "cv_accuracy": 1.1})
    worse = fit_heads(workspace, ["logreg"])
    assert best_run(workspace) == first.run
    workspace.remember(run={**entry, "cv_accuracy": 1.1, "dataset": "another"})
    other = fit_heads(workspace, ["logreg"])
    assert best_run(workspace) == other.run != worse.run
    equal = fit_heads(workspace, ["logreg"])
    assert best_run(workspace) == equal.run


def test_added_pictures_do_not_move_the_old_test_part(workspace: Workspace, digits: Data) -> None:
    before = fit_heads(workspace, ["logreg"])
    bigger = make_manifest(digits[1].astype(int), tuple("0123456789"))
    workspace.store(SPACE).add(bigger.key, digits[0])
    workspace.save_manifest("digits", bigger)
    after = fit_heads(workspace, ["logreg"])

    def tested(run: Path) -> set[str]:
        return {line.split(",")[0] for line in (run / "predictions.csv").read_text().splitlines()[1:]}

    old = {f"0/{i}.png" for i in range(300)}
    assert tested(after.run) & old == tested(before.run)
    assert len(tested(after.run)) == pytest.approx(120, abs=10)


def test_pictures_without_an_embedding_and_classes_without_training_are_noted(
    digits: Data, build: Callable[..., Workspace]
) -> None:
    X, y = digits[0][:200], digits[1][:200].astype(int)
    manifest = make_manifest(y, tuple("0123456789"))
    manifest.split[:] = np.where((y == 9) | (np.arange(200) % 5 == 0), 3, 1)
    workspace = build(manifest, X)
    extra = make_manifest(np.append(y, [0, 1]), manifest.classes)
    extra.split[:] = np.append(manifest.split, [1, 1])
    workspace.save_manifest("digits", extra)
    result = fit_heads(workspace, ["logreg"])
    assert any(note.startswith("2 pictures of digits have no embedding") for note in result.notes)
    unseen = f"{(y == 9).sum()} test rows belong to classes without training"
    assert any(note.startswith(unseen) for note in result.notes)
    assert result.heads[0].evaluation.recall[9] == 0


def test_ctrl_c_keeps_finished_heads(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    original = fit.train

    def train(head, *rest):
        if head.name == "svm":
            raise KeyboardInterrupt
        return original(head, *rest)

    monkeypatch.setattr(fit, "train", train)
    result = fit_heads(workspace, ["logreg", "svm"])
    assert result.interrupted and [head.name for head in result.heads] == ["logreg"]
    assert best_run(workspace) == result.run
    with pytest.raises(KeyboardInterrupt):
        fit_heads(workspace, ["svm"])
    assert best_run(workspace) == result.run and not (workspace.runs / "002-fit-head").exists()


def test_what_cannot_be_fitted_is_said_before_a_run_is_made(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="extract"):
        fit_heads(Workspace(tmp_path / "empty"), ["logreg"])
    with pytest.raises(UserError, match="--model"):
        fit_heads(workspace, ["nonsense"])
    with pytest.raises(UserError, match="--test-size"):
        fit_heads(workspace, ["logreg"], test_size=2)
    assert not workspace.runs.exists()
