"""`runs ls` and `runs rm`: what there is, what predict uses, and what may go."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import cli
from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.commands.runs.ls import Listing
from classify.commands.runs.rm import remove
from classify.runs.folder import best_run, find_run, write_json
from classify.runs.summary import runs_of


@pytest.fixture
def fitted(tmp_path: Path) -> Workspace:
    """Two runs of fit-head, as far as a list of runs reads them; `predict` uses the second."""
    workspace = Workspace(tmp_path / ".coldframe").create()
    for head in ("centroid", "ridge"):
        folder = workspace.new_run("fit-head")
        head_facts = {"name": head, "test_accuracy": 0.9}
        write_json(folder / "run.json", {"command": "fit-head", "head": head_facts, "split": {"test": 50}})
    workspace.remember(run={"path": str(folder)})
    return workspace


def finetuned(workspace: Workspace, start: Path, finished: bool = True) -> Path:
    folder = workspace.new_run("finetune")
    write_json(folder / "plan.json", {"start": str(start)})
    if finished:
        result = {"test_accuracy": 0.9, "test_n": 50, "alpha": 0.5}
        told = {"run": str(start), "head": "ridge"}
        write_json(folder / "run.json", {"command": "finetune", "start": told, "result": result})
    return folder


def names(workspace: Workspace) -> list[str]:
    return [run.folder.name for run in runs_of(workspace)]


def test_runs_are_listed_with_their_figures(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    fitted = workspace
    for model in ("centroid", "ridge"):
        fit_heads(fitted, FitOptions(models=[model], curve=False))
    finetuned(fitted, find_run(fitted, "2"), finished=False)
    assert cli.main(["runs", "ls", "--json", "--workspace", str(fitted.root)]) == 0
    first, second, third = json.loads(capsys.readouterr().out)
    assert [run["number"] for run in (first, second, third)] == [1, 2, 3]
    assert second["command"] == "fit-head" and second["dataset"] == "digits"
    assert second["model"].startswith("ridge on ") and second["used"] and not first["used"]
    record = json.loads((best_run(fitted) / "run.json").read_text())
    assert second["test_accuracy"] == record["head"]["test_accuracy"]
    report = json.loads((best_run(fitted) / "report.json").read_text())["heads"][0]["test"]
    assert (second["test_n"], second["ci_low"]) == (report["n"], pytest.approx(report["ci_low"]))
    assert second["created"] == record["created"] and second["megabytes"] > 0
    assert (third["finished"], third["test_accuracy"], third["started_from"]) == (False, None, "002-fit-head")
    assert cli.main(["runs", "ls", "--workspace", str(fitted.root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].startswith("*  002-fit-head") and lines[4].startswith("     digits: ridge on ")
    assert lines[-1] == "* `predict` uses 002-fit-head" and "unfinished" in lines[-2]
    assert max(map(len, lines)) <= 80


def test_the_largest_listing_fits_a_terminal(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path).create()
    folder = workspace.new_run("compare-backbones")
    write_json(folder / "run.json", {"result": {"winner": "efficientnet_lite0", "dataset": "flowers"}})
    text = Listing(workspace.runs, runs_of(workspace)).to_text()
    assert "flowers: elected efficientnet_lite0" in text and "uses none of them" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    "text", ["[1]", "{", '{"head": 3, "result": [], "split": "?"}', '{"space": {"json": 1}}']
)
def test_any_record_can_be_listed(tmp_path: Path, text: str) -> None:
    workspace = Workspace(tmp_path).create()
    for command in ("fit-head", "finetune", "predict", "show", "compare-backbones", "of-a-newer-version"):
        (workspace.new_run(command) / "run.json").write_text(text)
    found = runs_of(workspace)
    assert len(Listing(workspace.runs, found).to_json()) == 6
    assert Listing(workspace.runs, found).to_text()


def test_the_record_of_a_run_of_predict_is_whole(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path).create()
    for command in ("predict", "evaluate"):
        folder = workspace.new_run(command)
        write_json(
            folder / "run.json", {"command": command, "head": "runs/001-fit-head", "space": "ab", "paths": []}
        )
    assert [run.finished for run in runs_of(workspace)] == [True, True]


def test_no_run_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", "ls", "--workspace", str(tmp_path / "none")]) == 0
    assert "no run in" in capsys.readouterr().out
    assert cli.main(["runs"]) == cli.USAGE


def test_what_nothing_needs_is_deleted(fitted: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["runs", "rm", "1", "001-fit-head", "--workspace", str(fitted.root)]
    assert cli.main(words) == 0
    assert capsys.readouterr().out.startswith("removed 001-fit-head: 0.")
    assert names(fitted) == ["002-fit-head"] and best_run(fitted).name == "002-fit-head"
    assert cli.main(words) == 1  # it is gone
    assert "001-fit-head" not in capsys.readouterr().err.split("there", 1)[1]


@pytest.mark.parametrize(
    ("prepare", "named", "why"),
    [
        (lambda w: None, ["1", "2"], "`predict` uses 002-fit-head"),
        (lambda w: finetuned(w, find_run(w, "1")), ["1"], "003-finetune started from 001-fit-head"),
        (lambda w: finetuned(w, find_run(w, "1"), False), ["1"], "003-finetune started from 001-fit-head"),
        (lambda w: finetuned(w, find_run(w, "1"), False), ["3"], "003-finetune is not finished"),
        (
            lambda w: write_json(w.new_run("compare-backbones") / "run.json", {"sample": []}),
            ["3"],
            "003-compare-backbones tells `fit-head`",
        ),
    ],
)
def test_what_something_needs_stays(
    fitted: Workspace, prepare: Callable[[Workspace], object], named: list[str], why: str
) -> None:
    prepare(fitted)
    before = names(fitted)
    with pytest.raises(UserError, match=why):
        remove(fitted, named)
    assert names(fitted) == before
    done = remove(fitted, named, force=True)
    assert why in " ".join(done.notes) and len(names(fitted)) == len(before) - len(named)


def test_the_best_run_of_another_data_set_stays(fitted: Workspace) -> None:
    fitted.remember(
        dataset="bees", runs={"flowers": {"path": str(find_run(fitted, "1")), "dataset": "flowers"}}
    )
    with pytest.raises(UserError, match="001-fit-head is the best of"):
        remove(fitted, ["1"])
    assert [(run.best, run.used) for run in runs_of(fitted)] == [(True, False), (True, True)]


def test_an_heir_may_go_with_its_start(fitted: Workspace) -> None:
    heir = finetuned(fitted, find_run(fitted, "1"))
    assert remove(fitted, ["1", heir.name]).notes == []
    assert names(fitted) == ["002-fit-head"]


def test_without_its_run_predict_asks_for_another(fitted: Workspace) -> None:
    remove(fitted, ["2"], force=True)
    with pytest.raises(UserError, match=r"Expected 002-fit-head, .* or run `fit-head`"):
        best_run(fitted)
    assert fitted.new_run("show").name == "003-show"  # not 002, which records and people may name


def test_only_runs_of_the_workspace_are_deleted(fitted: Workspace, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "001-fit-head"
    other.mkdir(parents=True)
    (fitted.runs / "009-show").symlink_to(other)
    (other / "run.json").write_text("{}")
    for named in ("9", str(other), str(fitted.runs), str(fitted.root)):
        with pytest.raises(UserError, match="which is none of its"):
            remove(fitted, [named], force=True)
    assert (other / "run.json").exists() and len(names(fitted)) == 3


def test_a_run_that_cannot_be_deleted_is_told(fitted: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(f"Permission denied: '{folder}'")

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(UserError, match=r"Expected to delete .*001-fit-head"):
        remove(fitted, ["1"])
    assert not runs_of(fitted)[0].finished
