"""`baseline` from the command line to the files it leaves."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import cli
from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.baseline.command import baseline
from classify.commands.baseline.options import Settings
from classify.commands.baseline.pixels import Pixels
from classify.commands.baseline.result import against_best_head, known_answers
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.runs.folder import best_run
from classify.runs.readings import earlier
from classify.runs.record import record_of
from classify.runs.scores import PARTS, load

WORDS = ["--input-size", "16", "--epochs", "3", "--batch-size", "8", "--json"]
QUICK = Settings(input_size=16, epochs=1, batch_size=16)


def paths(table: Path) -> set[str]:
    with table.open() as file:
        return {row["path"] for row in csv.DictReader(file)}


@pytest.mark.figures
def test_whole_command_on_the_split_of_the_head(
    tinted: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ["--workspace", str(tinted.root)]
    best = best_run(tinted)
    assert cli.main(["baseline", *WORDS, *there]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    asked = "run val_accuracy test_accuracy test_n ci_low ci_high epochs seconds seconds_per_epoch parameters"
    assert set(asked.split()) <= result.keys()
    assert result["epochs"] == 3 and "epoch 3 of 3: loss" in printed.err and "untrained" in printed.err
    # Tints are easy: 16 filters of 3 x 3 weights, 32 of 16 and so on, two poolings of 16 pixels to 2.
    assert result["parameters"] == 448 + 4_640 + 18_496 + (2 * 2 * 64 + 1) * 128 + 129 * 3
    assert result["val_accuracy"] > 0.6 and result["test_accuracy"] > 0.6

    run = Path(result["run"])
    expected = (
        "model.keras run.json report.md report.html history.csv curves.png confusion.png confusion.txt predictions.csv "
        "validation.csv summary.txt scores.h5 card.md"
    )
    assert {path.name for path in run.iterdir()} == set(expected.split())
    head = tinted.runs / "001-fit-head"
    assert paths(run / "predictions.csv") == paths(head / "predictions.csv")
    assert not paths(run / "validation.csv") & paths(run / "predictions.csv")
    scores = load(run)
    right, val = scores.probability.argmax(axis=1) == scores.label, scores.part == PARTS.index("val")
    assert {path for path, validates in zip(scores.path, val, strict=True) if validates} == paths(
        run / "validation.csv"
    )
    assert (right[val].mean(), right[~val].mean()) == (result["val_accuracy"], result["test_accuracy"])
    record = record_of(run)
    assert record["data_sha256"] == record_of(head)["data_sha256"]
    assert record["split"]["trained on"] + record["split"]["validated on"] == record["split"]["train"]
    assert record["parameters"]["augment"] == "flip" and record["versions"]["keras"]

    found = result["comparison"]
    assert found["first"] == "centroid of 001-fit-head" and found["n"] == result["test_n"] == 12
    gain = record_of(head)["head"]["test_accuracy"] - result["test_accuracy"]
    assert found["difference"] == pytest.approx(gain)
    assert best_run(tinted) == best  # however good it is

    pictures = sorted((Path(record["root"]) / "red").iterdir())[:4]
    capsys.readouterr()
    assert cli.main(["predict", *map(str, pictures), "--run", str(run), "--json", *there]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert sum(answer["label"] == "red" for answer in answers) >= 3
    assert cli.main(["export", "--to", "saved-head", "--run", str(run), *there]) == 0
    assert (run / "head.keras").exists()


def test_the_test_part_is_read_once_and_a_repetition_is_called_one(tinted: Workspace) -> None:
    first = baseline(tinted, QUICK)
    assert any("1 head was tested" in note for note in first.notes)  # by the head
    second = baseline(tinted, QUICK)
    assert any("repetition" in note for note in second.notes)
    (test,) = {path.name for path in (tinted.root / "readings").iterdir()}
    whole = json.loads(next((tinted.root / "readings" / test).iterdir()).read_text())["test"]
    assert [reading.command for reading in earlier(tinted, whole)] == ["fit-head", "baseline", "baseline"]


def test_ctrl_c_keeps_the_best_epoch_so_far(tinted: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(line: str) -> None:
        if line.startswith("epoch 1 of 9: loss"):
            raise KeyboardInterrupt

    outcome = baseline(tinted, Settings(input_size=16, epochs=9), say=interrupt)
    assert outcome.interrupted and outcome.to_json()["epochs"] == 1 and outcome.history.best == 1
    assert (outcome.run / "run.json").exists() and any("Ctrl-C" in note for note in outcome.notes)

    def at_once(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Pixels, "take", at_once)
    with pytest.raises(KeyboardInterrupt):
        baseline(tinted, QUICK)
    assert len(list(tinted.runs.glob("*-baseline"))) == 1


def test_what_is_gone_is_counted_or_named(tinted: Workspace) -> None:
    root = Path(tinted.manifest("tints").root)
    tested = sorted(paths(tinted.runs / "001-fit-head" / "predictions.csv"))
    (root / tested[0]).unlink()
    outcome = baseline(tinted, QUICK)
    assert outcome.evaluation.n == 11 and outcome.comparison and outcome.comparison.n == 11
    assert any("1 test picture could not be read" in note for note in outcome.notes)
    trained = next(path for path in sorted(root.rglob("*.png")) if str(path.relative_to(root)) not in tested)
    trained.unlink()
    with pytest.raises(UserError, match=r"Expected to read .* again for training"):
        baseline(tinted, QUICK)


def test_the_best_head_of_the_same_split_is_compared_with(tinted: Workspace) -> None:
    fit_heads(tinted, FitOptions(models=("centroid",), folds=3, seed=1, curve=False))
    for run, seed in (("001-fit-head", 0), ("002-fit-head", 1)):
        table = sorted(paths(tinted.runs / run / "predictions.csv"))
        truth = np.array([path.split("/")[0] for path in table])
        sha256 = record_of(tinted.runs / run)["data_sha256"]
        found = against_best_head(
            known_answers(tinted, sha256), table, truth, np.full(len(table), "red"), seed
        )
        assert found and found.first == f"centroid of {run}" and found.difference > 0.5
        assert known_answers(tinted, "0" * 64) == []
    assert against_best_head([], table, truth, truth, 0) is None
    answers = tinted.runs / "001-fit-head" / "predictions.csv"
    answers.write_text(answers.read_text().replace(",red,", ",blue,", 1))
    with pytest.raises(UserError, match="another content"):  # and before anything is trained
        baseline(tinted, QUICK, say=pytest.fail)


@pytest.mark.parametrize(
    "wrong", [{"input_size": 8}, {"epochs": 0}, {"augment": "wild"}, {"max_memory_gb": -1.0}, {"seed": -1}]
)
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(UserError, match="Expected"):
        Settings(**wrong)


def test_the_shares_of_the_parts_are_those_of_the_head(tinted: Workspace) -> None:
    shares = "50/25/25"
    fitted = fit_heads(tinted, FitOptions(models=["centroid"], folds=2, split=shares, curve=False))
    ticks = iter(range(0, 10_000, 100))
    asked = Settings(input_size=16, epochs=1, batch_size=16, split=shares, val_size=0.3)
    outcome = baseline(tinted, asked, clock=lambda: float(next(ticks)))
    assert "--val-size 0.3 has no effect: there is a validation part already" in outcome.notes
    page, seconds = (outcome.run / "report.md").read_text("utf-8"), next(ticks) - 100
    assert outcome.seconds == seconds and f"- Time: {seconds} s for the whole command" in page
    divided = record_of(outcome.run)["split"]
    assert divided["validated on"] == divided["val"] > 0 and divided["trained on"] == divided["train"]
    assert paths(outcome.run / "predictions.csv") == paths(fitted.run / "predictions.csv")
