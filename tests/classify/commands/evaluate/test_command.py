"""A run on new labelled pictures: figures with and without copies of what it was trained on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.demo import write_digits
from classify.commands.evaluate.command import evaluate
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.metrics.intervals import wilson
from classify.models.classifier import open_classifier
from classify.runs.predictions import read_pictures
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.settings import Decoding, Options


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with digits/ (100, fitted in w/) and new/ (40 more, of the first five classes)."""
    folder = tmp_path_factory.mktemp("session")
    write_digits(folder / "digits", 140)
    for picture in sorted((folder / "digits").glob("*/*.png")):
        if int(picture.stem) >= 100:
            place = folder / "new" / picture.parent.name
            place.mkdir(parents=True, exist_ok=True)
            picture.rename(place / picture.name)
    for label in "56789":
        shutil.rmtree(folder / "new" / label)
    workspace = Workspace(folder / "w")
    extract(workspace, folder / "digits", Backbone.of(input_size=64), Decoding(), Options())
    fit_heads(workspace, FitOptions(models=("logreg",), curve=False))
    return folder


def test_the_figures_are_those_of_the_answers(session: Path) -> None:
    workspace = Workspace(session / "w")
    found = evaluate(workspace, session / "new")
    frame, e = found.to_frame(), found.evaluation
    assert e.n == len(frame) > 10 and set(frame["label"]) == set("01234")
    right = (frame["label"] == frame["predicted"]).sum()
    assert e.accuracy == right / e.n and (e.ci_low, e.ci_high) == tuple(map(float, wilson(right, e.n)))
    model = open_classifier(workspace, None)
    assert found.answered_by == model.run and "answers: 001-fit-head" in found.closing[0]
    written = read_pictures(found.run / "predictions.csv")
    assert written["path"].tolist() == found.paths and len(written) == e.n
    there = {path.name for path in found.run.iterdir()}
    assert {"report.md", "report.html", "run.json", "confusion.png", "confusion.txt", "mistakes.csv"} <= there
    assert str(session) not in (found.run / "report.html").read_text("utf-8")
    assert json.loads((found.run / "run.json").read_text())["result"] == found.to_json()
    assert found.limits is not None and found.limits.false_alarms.n == e.n - len(found.copies)
    assert "## Limits" in (found.run / "report.md").read_text("utf-8")
    assert workspace.datasets() == ["digits"] and workspace.state()["dataset"] == "digits"


def test_copies_of_training_pictures_are_named_and_left_out(session: Path, tmp_path: Path) -> None:
    workspace, new = Workspace(session / "w"), tmp_path / "new"
    shutil.copytree(session / "new", new)
    run = open_classifier(workspace, None).run
    tested = set(read_pictures(run / "predictions.csv")["path"])
    trained = sorted(
        path
        for path in (session / "digits").glob("[01]/*.png")
        if path.relative_to(session / "digits").as_posix() not in tested
    )
    shutil.copy2(trained[0], new / "0" / "same.png")
    Image.open(trained[1]).resize((24, 24)).save(new / "0" / "near.png")
    shutil.copy2(session / "digits" / sorted(tested)[0], new / "0" / "tested.png")
    found = evaluate(workspace, new)
    assert {"0/same.png", "0/near.png"} <= set(found.copies) and "0/tested.png" not in found.copies
    without = found.without
    assert without is not None and without.n == found.evaluation.n - len(found.copies)
    kept = ~found.copy
    assert without.accuracy == np.mean(found.predicted[kept] == found.truth[kept])
    assert any("copies or near copies" in note for note in found.notes)
    assert "without copies" in found.to_text() and "same.png" in (found.run / "report.md").read_text()


def test_unknown_classes_and_pictures_without_labels_are_refused(session: Path, tmp_path: Path) -> None:
    workspace = Workspace(session / "w")
    shutil.copytree(session / "new" / "0", tmp_path / "new" / "zero")
    shutil.copytree(session / "new" / "1", tmp_path / "new" / "1")
    with pytest.raises(UserError, match=r"the run knows \(0, 1, 2.*received zero too"):
        evaluate(workspace, tmp_path / "new")
    (tmp_path / "labels.csv").write_text("path,label\nnew/1/x.png,\n")
    shutil.copy2(next((session / "new" / "1").iterdir()), tmp_path / "new" / "1" / "x.png")
    with pytest.raises(UserError, match="Expected labelled pictures in"):
        evaluate(workspace, tmp_path / "labels.csv")
    assert not list(workspace.runs.glob("*-evaluate-*"))


def test_a_workspace_that_does_not_know_the_training_pictures_says_so(session: Path, tmp_path: Path) -> None:
    run = str(session / "w" / "runs" / "001-fit-head")
    found = evaluate(Workspace(tmp_path / "other"), session / "new", run=run)
    assert any("not compared with the training pictures" in note for note in found.notes)
    assert found.without is None and found.evaluation.n > 10
