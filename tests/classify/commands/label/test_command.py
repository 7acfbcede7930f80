"""The command: a folder without labels is embedded and asked about, and a table is filled by one program at a time."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cli
from cache.storage.files import locked
from cache.workspace import Workspace
from classify.commands.label import command
from classify.commands.label.labels import Labels


@pytest.fixture
def unserved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is closed at once."""
    monkeypatch.setattr(command, "serve", lambda app, listening: None)


@pytest.mark.usefixtures("unserved")
def test_a_folder_without_labels(
    few_flowers: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    picture = sorted(few_flowers.rglob("*.jpg"))[0]
    Labels(tmp_path / "labels.csv").add(
        [{"path": picture.relative_to(tmp_path).as_posix(), "label": "daisy"}]
    )
    assert cli.main(["label", str(few_flowers), "--classes", "rose", "--workspace", "w", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["classes"] == {"rose": 0, "daisy": 1} and told["labels"] == 1 and told["order"] == "clever"
    assert (Workspace(tmp_path / "w").manifest(few_flowers.name).label == -1).all()


@pytest.mark.usefixtures("unserved")
def test_one_program_at_a_time(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[Any] = ["label", "--labels", str(tmp_path / "labels.csv"), "--workspace", str(workspace.root)]
    Labels(tmp_path / "labels.csv").add([{"path": "a.png", "label": "7"}])
    with locked(tmp_path / "labels.csv"):
        assert cli.main(words) == 1
    assert "another `label` fills it" in capsys.readouterr().err
    assert cli.main([*words, "--host", "0.0.0.0"]) == 1
    assert "--expose" in capsys.readouterr().err
    assert cli.main(words) == 0
    assert "0 pictures left" in capsys.readouterr().out


@pytest.mark.usefixtures("unserved")
def test_a_folder_of_the_name_of_a_labelled_data_set(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "a.png").write_bytes(b"")
    before = workspace.manifest("digits")
    assert cli.main(["label", str(tmp_path / "digits"), "--workspace", str(workspace.root)]) == 1
    assert "with labels was extracted" in capsys.readouterr().err
    assert np.array_equal(workspace.manifest("digits").label, before.label)


@pytest.mark.usefixtures("unserved")
def test_auto_says_which_order_a_simulation_chose(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["label", "--workspace", str(workspace.root), "--labels", str(tmp_path / "labels.csv")]
    assert cli.main([*words, "--simulate", "--accuracy", "5", "--seeds", "1"]) == 0
    assert "auto is random on this data set" in capsys.readouterr().out
    assert cli.main([*words, "--expose", "--host", "127.0.0.1"]) == 0
    told = capsys.readouterr().err
    assert "order: random, by the simulation 001-label" in told and "warning: other machines" in told
