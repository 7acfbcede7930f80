"""`publish`: folder and MLflow, once for the same run, and nothing of the machine in either."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import cli
from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.commands.publish.bundle import bundle_of
from classify.commands.publish.command import publish
from classify.runs.folder import write_json
from classify.runs.head_file import load_head
from classify.runs.record import read_record


@pytest.fixture
def run(workspace: Workspace) -> Path:
    found = fit_heads(workspace, FitOptions(models=["centroid"], curve=False)).run
    record = dict(read_record(found))
    secret = {"root": "/home/somebody", "notes": ["in /home/somebody"], "start": {"run": "/home/somebody/7"}}
    write_json(found / "run.json", record | secret)
    return found


def test_a_folder_for_a_hub_answers_elsewhere(
    workspace: Workspace, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], digits
) -> None:
    words = ["publish", run.name, "--to", "folder", "--out", str(tmp_path / "out")]
    for there in (False, True):
        assert cli.main([*words, "--json", "--workspace", str(workspace.root)]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["already_there"] is there
    assert cli.main([*words, "--workspace", str(workspace.root)]) == 0
    assert "001-fit-head was there already" in capsys.readouterr().out
    (folder,) = (tmp_path / "out").iterdir()
    assert folder == Path(said["place"]) and folder.name == f"digits-fit-head-{said['sha256'][:12]}"
    assert {path.name for path in folder.iterdir()} == {"README.md", "run.json", "head.h5", "confusion.png"}
    assert (folder / "README.md").read_bytes() == (run / "card.md").read_bytes()
    for file in ("README.md", "run.json"):
        assert "somebody" not in (folder / file).read_text("utf-8") and str(tmp_path) not in file
    assert json.loads((folder / "run.json").read_text())["start"] == {"run": "7"}
    X = digits[0]
    expected = load_head(workspace, run).head.predict_proba(X)
    assert np.array_equal(load_head(workspace, folder).head.predict_proba(X), expected)


def test_what_somebody_changed_is_not_overwritten(workspace: Workspace, run: Path, tmp_path: Path) -> None:
    place = Path(publish(workspace, run.name, "folder", tmp_path / "out").place)
    (place / "README.md").write_text("mine")
    with pytest.raises(UserError, match="somebody changed them"):
        publish(workspace, run.name, "folder", tmp_path / "out")
    assert (place / "README.md").read_text() == "mine"


def test_mlflow_has_a_run_once(workspace: Workspace, run: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="comes with the extra `mlflow`")
    database = tmp_path / "track" / "flows.db"
    first = publish(workspace, run.name, "mlflow", database)
    again = publish(workspace, run.name, "mlflow", database)
    assert (first.there, again.there) == (False, True) and first.place == again.place
    client = mlflow.MlflowClient(f"sqlite:///{database}")
    (experiment,) = client.search_experiments(filter_string="name = 'digits'")
    (kept,) = client.search_runs([experiment.experiment_id])
    record = read_record(run)
    assert kept.info.run_id == first.place and kept.info.status == "FINISHED"
    assert kept.data.metrics["test_accuracy"] == record["head"]["test_accuracy"]
    assert kept.data.metrics["test_ci_low"] < kept.data.metrics["test_accuracy"]
    assert kept.data.params["command"] == "fit-head" and kept.data.params["seed"] == "0"
    assert kept.data.tags["mlflow.note.content"] == (run / "card.md").read_text("utf-8")
    assert {file.path for file in client.list_artifacts(first.place)} == set(first.files)
    assert {path.name for path in database.parent.iterdir()} == {"flows.db", "flows-files"}
    assert not (Path.cwd() / "mlruns").exists()


def test_without_mlflow_the_extra_is_named(
    workspace: Workspace, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UserError, match=r"pip install 'coldframe\[mlflow\]'"):
        publish(workspace, run.name, "mlflow", tmp_path / "flows.db")


def test_a_run_without_a_card_is_refused(workspace: Workspace, run: Path, tmp_path: Path) -> None:
    (run / "card.md").unlink()
    with pytest.raises(UserError, match=r"with card\.md, received .*which lacks card\.md: run"):
        publish(workspace, run.name, "folder", tmp_path)
    (run / "card.md").touch()
    for name in ("head.h5", "head.joblib"):
        (run / name).unlink()
    with pytest.raises(UserError, match="lacks a head or model"):
        publish(workspace, run.name, "folder", tmp_path)


def test_the_hash_is_that_of_the_content(run: Path) -> None:
    before = bundle_of(run).sha256
    assert bundle_of(run).sha256 == before
    (run / "card.md").write_text("another")
    assert bundle_of(run).sha256 != before
