import csv
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.fit_head import command, fitted_head, later, record, report
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.fitted_head import simplest_of
from classify.commands.fit_head.options import BUDGET, FitOptions
from classify.commands.fit_head.result import FitResult
from classify.data import identity
from classify.data.division import Division
from classify.data.rows import blocks
from classify.data.rows.streamed import Streamed
from classify.data.splits import TEST, TRAIN, split
from classify.heads import table
from classify.heads.table import HEADS
from classify.runs import predictions, readings, scores
from classify.runs.folder import best_run
from classify.runs.head_file import check_space, load_head
from classify.runs.record import record_of
from extract.pictures.policies import Views
from tests.classify.samples import SPACE, make_manifest

Data = tuple[np.ndarray, np.ndarray]


def run(
    workspace: Workspace, *models: str, clock: Callable[[], float] = time.perf_counter, **options: Any
) -> FitResult:
    """A run on one folder's data, without a learning curve and with figures that are not drawn."""
    with pytest.MonkeyPatch.context() as patch:
        for module, figure in (
            (record, "mistakes_png"),
            (report, "reliability_png"),
            (predictions, "confusion_png"),
            (command, "write_page"),
        ):
            patch.setattr(module, figure, lambda *_: b"")
        return fit_heads(workspace, FitOptions(models=models, **{"curve": False, **options}), clock=clock)


@pytest.mark.figures
def test_a_run_holds_all_that_people_look_at(workspace: Workspace) -> None:
    said: list[str] = []
    result = fit_heads(workspace, FitOptions(models=["logreg", "svm-linear"]), on_progress=said.append)
    assert {path.name for path in result.run.iterdir()} == {
        "card.md",
        "head.h5",
        "head.joblib",
        "run.json",
        "scores.h5",
        "limits.h5",
        "report.json",
        "predictions.csv",
        "confusion.txt",
        "confusion.png",
        "leaderboard.txt",
        "report.md",
        "report.html",
        "reliability.png",
        "mistakes.csv",
        "mistakes.png",
        "learning_curve.png",
    }
    assert result.run.parent == workspace.runs
    line = result.to_json()["heads"][0]
    assert list(result.to_json()) == [
        "run",
        "best",
        "simplest",
        "heads",
        "views",
        "augment",
        "networks",
        "notes",
    ]
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
        "split": None,
        "seed": 0,
        "n_jobs": None,
        "budget": None,
        "parts": "auto",
        "class_weight": "none",
        "group_by": None,
        "curve": True,
        "views": {"number": 0, "augment": None, "seed": 0},
        "hidden": None,
        "max_memory_gb": None,
        "batch_norm": False,
    }
    assert record["space"]["id"] == SPACE.id and record["dataset"] == "digits"
    assert record["split"] == {"train": 240, "test": 60}
    report = json.loads((result.run / "report.json").read_text())
    assert len(report["heads"][0]["candidates"]) in (21, 28) and report["heads"][0]["test_part_read"]


def test_the_kept_head_is_the_one_that_was_tested(workspace: Workspace, digits: Data) -> None:
    result = run(workspace, "svm")
    loaded = load_head(workspace, best_run(workspace))
    check_space(loaded, [SPACE], 64)
    manifest = workspace.manifest("digits")
    part = split(manifest).part
    X, y = digits[0][:300], digits[1][:300]
    assert (loaded.head.predict(X[part == TEST]) == y[part == TEST]).mean() == result.heads[
        0
    ].evaluation.accuracy
    with (result.run / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [manifest.paths[i] for i in np.flatnonzero(part == TEST)]
    assert [row["predicted"] for row in rows] == loaded.head.predict(X[part == TEST]).tolist()


def test_nothing_but_the_test_part_is_kept_from_training(
    workspace: Workspace, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = fitted_head.search_rows

    def spy(head, data, how):
        seen.append((data.X, data.y))
        return original(head, data, how)

    monkeypatch.setattr(fitted_head, "search_rows", spy)
    run(workspace, "logreg")
    part = split(workspace.manifest("digits")).part
    assert (seen[0][0] == digits[0][:300][part == TRAIN]).all()
    assert (seen[0][1] == digits[1][:300][part == TRAIN]).all()


def test_the_test_part_is_read_once_a_head_and_after_the_search(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for name in ("search_rows", "evaluate"):
        original = getattr(fitted_head, name)
        monkeypatch.setattr(
            fitted_head, name, lambda *a, _o=original, _n=name, **k: order.append(_n) or _o(*a, **k)
        )
    run(workspace, "logreg", "svm-linear")
    assert order == ["search_rows", "evaluate"] * 2


def test_the_best_is_chosen_by_cross_validation_and_ties_are_said(workspace: Workspace) -> None:
    result = run(workspace, "centroid", "lda", "ridge")
    accuracies = [head.cv_accuracy for head in result.heads]
    assert accuracies == sorted(accuracies, reverse=True) and result.best == result.heads[0].name
    assert any(note.startswith("a tie") for note in result.notes)


def test_of_equal_heads_the_simpler_is_kept(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = replace(HEADS["ridge"], name="twin", rank=-1)
    monkeypatch.setitem(table.HEADS, "twin", twin)
    assert run(workspace, "ridge", "twin").best == "twin"
    monkeypatch.setitem(table.HEADS, "twin", replace(twin, rank=9))
    assert run(workspace, "twin", "ridge").best == "ridge"


def test_the_same_command_gives_the_same_run(workspace: Workspace) -> None:
    one, two = (run(workspace, "ridge") for _ in range(2))
    assert one.run != two.run
    assert (one.run / "predictions.csv").read_bytes() == (two.run / "predictions.csv").read_bytes()
    hashes = [json.loads((r.run / "run.json").read_text())["data_sha256"] for r in (one, two)]
    assert hashes[0] == hashes[1]
    assert run(workspace, "ridge", seed=1).heads[0].to_json() != two.heads[0].to_json()


def test_a_worse_run_of_the_same_data_does_not_become_the_best(workspace: Workspace) -> None:
    first = run(workspace, "ridge")
    entry = workspace.state()["run"]
    assert entry["path"] == first.run.name and entry["cv_accuracy"] == first.heads[0].cv_accuracy
    assert entry["dataset"] == "digits" and entry["space"] == SPACE.id
    workspace.remember(run={**entry, "cv_accuracy": 1.1})
    worse = run(workspace, "ridge")
    assert best_run(workspace) == first.run
    workspace.remember(run={**entry, "cv_accuracy": 1.1, "data_sha256": "0" * 64})
    other = run(workspace, "ridge")
    assert best_run(workspace) == other.run != worse.run
    equal = run(workspace, "ridge")
    assert best_run(workspace) == equal.run
    workspace.remember(run={**entry, "cv_accuracy": 1.1, "path": str(workspace.runs / "deleted")})
    assert run(workspace, "ridge").run == best_run(workspace)


def test_a_run_on_other_data_becomes_the_best_even_if_it_is_worse(workspace: Workspace, digits: Data) -> None:
    first = run(workspace, "ridge")
    keys, y = workspace.manifest("digits").key, digits[1][:300].astype(int)
    relabelled = make_manifest(np.where(np.arange(300) % 3, y, (y + 1) % 10), tuple("0123456789"))
    assert (relabelled.key == keys).all()
    workspace.save_manifest("digits", relabelled)
    second = run(workspace, "ridge")
    assert second.heads[0].cv_accuracy < first.heads[0].cv_accuracy - 0.1
    assert best_run(workspace) == second.run


def test_added_pictures_do_not_move_the_old_test_part(workspace: Workspace, digits: Data) -> None:
    before = run(workspace, "ridge")
    bigger = make_manifest(digits[1].astype(int), tuple("0123456789"))
    workspace.store(SPACE).add(bigger.key, digits[0])
    workspace.save_manifest("digits", bigger)
    after = run(workspace, "ridge")

    def tested(folder: Path) -> set[str]:
        return {line.split(",")[0] for line in (folder / "predictions.csv").read_text().splitlines()[1:]}

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
    result = run(workspace, "ridge")
    assert any(note.startswith("left out: 2 files of digits, which") for note in result.notes)
    unseen = f"{(y == 9).sum()} test pictures belong to classes without training"
    assert any(note.startswith(unseen) for note in result.notes)
    assert result.heads[0].evaluation.recall[9] == 0


def test_the_time_in_the_report_is_that_of_the_whole_command(workspace: Workspace) -> None:
    told = list[float]()

    def clock() -> float:
        told.append(100.0 * len(told))
        return told[-1]

    result = run(workspace, "centroid", "ridge", clock=clock)
    page = (result.run / "report.md").read_text("utf-8")
    assert f"\n- Time: {told[-1]:.0f} s for the whole command" in page  # from the first question to the last


def test_ctrl_c_keeps_finished_heads(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    original = fitted_head.fit_one

    def fit_one(head, *rest):
        if head.name == "svm":
            raise KeyboardInterrupt
        return original(head, *rest)

    monkeypatch.setattr(fitted_head, "fit_one", fit_one)
    result = run(workspace, "logreg", "svm")
    assert result.interrupted and [head.name for head in result.heads] == ["logreg"]
    assert best_run(workspace) == result.run
    with pytest.raises(KeyboardInterrupt):
        run(workspace, "svm")
    assert best_run(workspace) == result.run and not (workspace.runs / "002-fit-head").exists()


def test_what_cannot_be_fitted_is_said_before_a_run_is_made(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="extract"):
        run(Workspace(tmp_path / "empty"), "logreg")
    with pytest.raises(UserError, match="--model"):
        run(workspace, "nonsense")
    with pytest.raises(UserError, match="--test-size"):
        run(workspace, "logreg", test_size=2)
    assert not workspace.runs.exists()


def logged(workspace: Workspace) -> list[str]:
    """Heads of all readings of the present test part, oldest first."""
    manifest = workspace.manifest("digits")
    test = identity.part_hash(manifest, split(manifest).part == TEST)
    return [reading.head for reading in readings.earlier(workspace, test)]


def test_readings_are_logged_head_by_head(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    original = fitted_head.fit_one

    def fit_one(head, *rest):
        if head.name == "lda":
            raise RuntimeError("out of memory")
        return original(head, *rest)

    monkeypatch.setattr(fitted_head, "fit_one", fit_one)
    with pytest.raises(RuntimeError, match="out of memory"):
        run(workspace, "ridge", "lda")
    assert logged(workspace) == ["ridge"]


def test_repeated_and_different_readings_are_said(workspace: Workspace) -> None:
    first = run(workspace, "centroid")
    assert not any("tested on them before" in note for note in first.notes)
    again = run(workspace, "centroid")
    assert any(note.startswith("a repetition") for note in again.notes)
    other = run(workspace, "ridge")
    assert any("1 head was tested on them before" in note for note in other.notes)
    assert not any(note.startswith("a repetition") for note in other.notes)
    # The same head with other weights is another choice.
    balanced = run(workspace, "centroid", class_weight="balanced")
    assert any("2 heads were tested on them before" in note for note in balanced.notes)
    assert logged(workspace) == ["centroid", "centroid", "ridge", "centroid"]
    assert not any("tested on them before" in note for note in run(workspace, "centroid", seed=1).notes)


def clock(step: float) -> Callable[[], float]:
    """A clock that every look at it advances."""
    return itertools.count(0.0, step).__next__


def test_a_budget_too_small_for_one_head_is_an_error(workspace: Workspace) -> None:
    with pytest.raises(UserError, match=r"one setting of logreg on 5 folds.*Raise --budget"):
        run(workspace, "logreg", budget=1.0, clock=clock(1.0))
    with pytest.raises(UserError, match=r"one setting of lda on 5 folds, received 0.0 s"):
        run(workspace, "centroid", "lda", budget=1.0, clock=clock(1.0))
    assert not workspace.runs.exists() and logged(workspace) == []


def test_a_budget_too_small_for_one_of_several_heads_is_a_note(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = fitted_head.fit_one

    def fit_one(head, division, options, seconds, *rest):
        return original(head, division, options, None if head.name == "centroid" else 0.0, *rest)

    monkeypatch.setattr(fitted_head, "fit_one", fit_one)
    for order in (["centroid", "ridge"], ["ridge", "centroid"]):
        result = run(workspace, *order, budget=60.0)
        assert [head.name for head in result.heads] == ["centroid"] and not result.interrupted
        assert any(note.startswith("ridge left out: Expected time for") for note in result.notes)
    assert set(logged(workspace)) == {"centroid"}


def test_only_all_has_a_budget_of_its_own(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float | None] = []

    def fit_one(head, division, options, seconds, *rest):
        given.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr(fitted_head, "fit_one", fit_one)
    for models, options in ((["all"], {}), (["all"], {"budget": 8.0}), (["svm", "knn"], {})):
        with pytest.raises(KeyboardInterrupt):
            run(workspace, *models, clock=clock(0.0), **options)
    assert given == [BUDGET, 8.0, None]


def test_all_heads_keep_to_the_budget(workspace: Workspace) -> None:
    # Enough looks at the clock for three heads and a part of the fourth.
    result = run(workspace, "all", budget=700.0, n_jobs=1, clock=clock(1.0))
    assert any(" left out: Expected time" in note or ": out of time after" in note for note in result.notes)
    left_out = [note.split()[0] for note in result.notes if " left out: Expected time" in note]
    assert {head.name for head in result.heads} | set(left_out) == set(HEADS)
    assert result.heads


def made_up(name: str, accuracy: float, rank: int, std: float = 0.02, folds: int = 4) -> Any:
    return SimpleNamespace(
        result=SimpleNamespace(name=name, cv_accuracy=accuracy, cv_std=std),
        found=SimpleNamespace(folds=[None] * folds),
        rank=rank,
    )


def test_the_simplest_head_within_one_standard_error() -> None:
    # 0.02 / sqrt(4) = 0.01 below the best's 0.90, whatever the others' own deviations are.
    best, near, far = (
        made_up("svm", 0.90, 6),
        made_up("ridge", 0.8905, 1),
        made_up("mean", 0.8895, 0, std=0.5),
    )
    assert simplest_of([best, near, far]).result.name == "ridge"
    assert simplest_of([best, far]).result.name == "svm"
    assert simplest_of([made_up("ridge", 0.9, 1), made_up("svm", 0.9, 6)]).result.name == "ridge"
    assert simplest_of([made_up("svm", 0.90, 6, folds=16), near]).result.name == "svm"


def test_the_simplest_head_is_in_the_result_and_a_note(workspace: Workspace) -> None:
    result = run(workspace, "logreg", "ridge", "centroid")
    error = result.heads[0].cv_std / np.sqrt(5)
    near = {head.name for head in result.heads if head.cv_accuracy >= result.heads[0].cv_accuracy - error}
    simplest = min(near, key=lambda name: HEADS[name].rank)
    assert result.simplest == result.to_json()["simplest"] == simplest
    said = any(note.startswith(f"{simplest} is the simplest head within") for note in result.notes)
    assert said == (simplest != result.best)


def test_balanced_weights_reach_the_head_that_is_kept(digits: Data, build: Callable[..., Workspace]) -> None:
    X, y = digits
    keep = np.flatnonzero((y == "3") | ((y == "8") & (np.arange(600) < 150)))
    workspace = build(make_manifest((y[keep] == "8").astype(int), ("3", "8")), X[keep])
    run(workspace, "ridge", class_weight="balanced", seed=3)
    pipeline = joblib.load(best_run(workspace) / "head.joblib").pipeline
    train = split(workspace.manifest("digits"), seed=3).part == TRAIN
    names = np.where(y[keep] == "8", "8", "3")
    own = clone(pipeline).set_params(classify__class_weight="balanced").fit(X[keep][train], names[train])
    plain = clone(pipeline).fit(X[keep][train], names[train])
    received = pipeline.decision_function(X)
    np.testing.assert_allclose(received, own.decision_function(X), rtol=1e-3, atol=1e-4)
    assert np.abs(received - plain.decision_function(X)).max() > 0.01


@pytest.mark.parametrize("batch_norm", [False, True])
def test_layers_beyond_all_memory_are_an_error_that_names_them(
    workspace: Workspace, batch_norm: bool
) -> None:
    options = FitOptions(["mlp"], hidden=(10**13, 8), batch_norm=batch_norm, curve=False)
    with pytest.raises(
        UserError, match=r"--hidden .* received 10000000000000,8 on rows of width 64: .*narrower"
    ):
        fit_heads(workspace, options)


def test_ctrl_c_during_the_curve_leaves_a_run_with_all_its_figures(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(later, "learning_curve", interrupt)
    stopped = run(workspace, "centroid", "ridge", curve=True)
    assert stopped.interrupted and (stopped.run / "head.joblib").exists()
    report = json.loads((stopped.run / "report.json").read_text())
    assert [head["name"] for head in report["heads"]] == [result.name for result in stopped.heads]
    assert report["learning_curve"] is None
    what = "the comparison of the first two heads, how far the head may be trusted and the learning curve"
    missing = f"{what} are missing"
    assert report["limits"] is None and not (stopped.run / "limits.h5").exists()
    for notes in (stopped.notes, record_of(stopped.run)["notes"], report["notes"]):
        assert sum(note.startswith(missing) for note in notes) == 1
    assert missing in (stopped.run / "report.md").read_text()
    assert best_run(workspace) == stopped.run and logged(workspace) == ["centroid", "ridge"]

    monkeypatch.undo()
    again = run(workspace, "centroid", "ridge", curve=True)
    report = json.loads((again.run / "report.json").read_text())
    assert report["learning_curve"] and len(report["comparisons"]) == 1
    assert report["limits"]["coverage"]["n"] == 60 and (again.run / "limits.h5").exists()
    assert record_of(again.run)["notes"] == again.notes == report["notes"]
    assert not any("missing" in note for note in again.notes)


def test_ctrl_c_while_the_run_is_written_writes_it_all_the_same(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = command.write_run, list[int]()

    def write(*given: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        original(*given)

    monkeypatch.setattr(command, "write_run", write)
    stopped = run(workspace, "centroid", curve=True)
    assert stopped.interrupted and len(calls) == 2 and (stopped.run / "run.json").exists()
    assert any(
        note.startswith("how far the head may be trusted and the learning curve are")
        for note in stopped.notes
    )


def test_streamed_rows_make_the_run_that_rows_in_memory_make(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BYTES", 64 * 4 * 50)  # fifty rows
    whole = run(workspace, "ridge", "lda", curve=True)
    streamed = run(workspace, "ridge", "lda", curve=True, max_memory_gb=1e-6)
    assert [(head.name, head.params) for head in streamed.heads] == [(h.name, h.params) for h in whole.heads]
    for ours, theirs in zip(streamed.heads, whole.heads, strict=True):
        assert ours.cv_accuracy == pytest.approx(theirs.cv_accuracy, abs=1e-3)
        assert ours.evaluation.accuracy == pytest.approx(theirs.evaluation.accuracy, abs=1e-3)
    loaded = [load_head(workspace, each.run) for each in (whole, streamed)]
    rows = workspace.load().embedding
    assert (loaded[0].head.predict(rows) == loaded[1].head.predict(rows)).all()
    answers = [scores.load(each.run) for each in (whole, streamed)]
    assert np.abs(answers[0].probability - answers[1].probability).max() < 1e-3
    assert {path.name for path in whole.run.iterdir()} == {path.name for path in streamed.run.iterdir()}
    curve = json.loads((streamed.run / "report.json").read_text())["learning_curve"]
    assert [point["share"] for point in curve["points"]] == [0.1, 1.0]
    assert any("more than --max-memory-gb has room for" in note for note in curve["notes"])
    with pytest.raises(UserError, match="fit into --max-memory-gb for --views"):
        run(workspace, "ridge", max_memory_gb=1e-6, views=Views(2))


def test_many_rows_are_streamed_by_default_where_each_head_can_be_fitted_in_blocks(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, original = [], command.divide

    def divide(*given: Any, **options: Any) -> Division:
        made.append(original(*given, **options))
        return made[-1]

    monkeypatch.setattr(command, "divide", divide)
    whole = run(workspace, "centroid")
    monkeypatch.setattr("classify.data.rows.budget.MANY", 100)
    in_blocks = run(workspace, "centroid")
    run(workspace, "centroid", "knn")
    assert [isinstance(division.X, Streamed) for division in made] == [False, True, False]
    [one], [other] = whole.heads, in_blocks.heads
    assert one.params == other.params and one.cv_accuracy == pytest.approx(other.cv_accuracy, abs=1e-3)
