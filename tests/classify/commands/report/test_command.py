"""`report`: pages made again, and two runs side by side, by the words of the command line."""

import json
import webbrowser
from pathlib import Path

import pytest

import cli
from cache.text import sized
from classify.runs.folder import write_json
from classify.runs.record import read_record
from tests.classify.pages.made import make_run


def test_a_run_is_named_by_its_number_and_its_page_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, run = make_run(tmp_path)
    where = ["--workspace", str(workspace.root)]
    assert cli.main(["report", "1", "--json", *where]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"file": str(run / "report.html"), "runs": [str(run)], "comparison": None, "notes": []}
    assert (run / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_two_runs_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace, one = make_run(tmp_path, mistakes=4)
    make_run(tmp_path, mistakes=9, name="002-fit-head", seed=1)
    where = ["--workspace", str(workspace.root)]
    assert cli.main(["report", "1", "2", *where]) == 0
    said = capsys.readouterr().out
    file = one / "against-002-fit-head.html"
    assert "right on 5 pictures" in said and f"{file} ({sized(file.stat().st_size)})" in said
    assert " kB)" in said


@pytest.mark.parametrize(
    ("runs", "said"), [(("1", "1"), "two different ones"), (("1", "2", "1"), "one run, or two")]
)
def test_another_number_of_runs_is_refused(
    tmp_path: Path, runs: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, _ = make_run(tmp_path)
    make_run(tmp_path, name="002-fit-head")
    assert cli.main(["report", *runs, "--workspace", str(workspace.root)]) == 1
    assert said in capsys.readouterr().err


def test_the_page_is_opened_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, run = make_run(tmp_path)
    opened: list[str] = []
    for there in (True, False):
        monkeypatch.setattr(webbrowser, "open", lambda address, there=there: opened.append(address) or there)
        assert cli.main(["report", "1", "--open", "--workspace", str(workspace.root)]) == 0
        assert ("no web browser was found" in capsys.readouterr().err) is not there
    assert cli.main(["report", "1", "--workspace", str(workspace.root)]) == 0
    assert opened == [(run / "report.html").as_uri()] * 2


def test_a_run_that_answers_no_labels_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace, run = make_run(tmp_path)
    write_json(run / "run.json", {**read_record(run), "command": "compare-backbones"})
    assert cli.main(["report", "1", "--workspace", str(workspace.root)]) == 1
    assert "have answers to labelled pictures" in capsys.readouterr().err
