"""Wrong answers of models that had not trained on the pictures."""

import csv
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cache.workspace import Workspace
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.fitted_head import fit_one
from classify.commands.fit_head.mistakes import Mistake, mistakes, mistakes_png, to_frame
from classify.commands.fit_head.options import FitOptions
from classify.data.division import divide
from classify.data.splits import TEST, TRAIN
from classify.heads.search import SearchOptions
from classify.heads.table import HEADS
from extract.pictures.decoding import RejectedImage
from extract.settings import Decoding

pytestmark = pytest.mark.figures

OPTIONS = FitOptions(folds=3, curve=False)


def test_both_parts_are_listed_the_surest_first(workspace: Workspace) -> None:
    division = divide(workspace, workspace.load(), test_size=0.2, seed=0)
    trained = fit_one(HEADS["centroid"], division, OPTIONS, None, lambda line: None, SearchOptions(folds=3))
    apart = trained.found.classes[trained.found.scores.argmax(axis=1)]
    answers = dict(zip(np.flatnonzero(division.split.part == TRAIN).tolist(), apart, strict=True))
    tested = dict(zip(np.flatnonzero(division.split.part == TEST).tolist(), trained.predicted, strict=True))
    names = division.names

    found = mistakes(trained, division)
    wrong = {row for row, answer in (answers | tested).items() if answer != names[row]}
    assert {each.row for each in found} == wrong and len(found) == len(wrong) > 10
    for each in found:
        assert each.label == names[each.row] and each.path == division.data.manifest.paths[each.row]
        assert each.predicted == (tested if each.part == "test" else answers)[each.row]
    assert {each.part for each in found} == {"train", "test"}
    sure = [each.probability for each in found]
    assert sure == sorted(sure, reverse=True) and 0.1 <= sure[-1] < sure[0] <= 1


def test_pictures_in_a_wrong_folder_lead_the_list(workspace: Workspace) -> None:
    manifest = workspace.load().manifest
    moved = [17, 90, 203]
    label = manifest.label.copy()
    label[moved] = (label[moved] + 5) % 10
    workspace.save_manifest("digits", replace(manifest, label=label))
    run = fit_heads(workspace, replace(OPTIONS, models=["svm"])).run
    with (run / "mistakes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"path", "label", "predicted", "probability", "part"}
    first = {row["path"]: row["predicted"] for row in rows[:6]}
    for row in moved:
        assert first[manifest.paths[row]] == manifest.classes[manifest.label[row]]
    report = (run / "report.md").read_text()
    assert "## Surest mistakes" in report and f"{len(rows):,} pictures got a wrong answer" in report
    assert (run / "mistakes.png").exists()


def test_no_mistake_no_section(workspace: Workspace) -> None:
    manifest = workspace.load().manifest
    easy = np.flatnonzero(np.isin(manifest.label, (0, 1)))[:40]
    workspace.save_manifest("digits", manifest.select(np.isin(np.arange(len(manifest)), easy)))
    run = fit_heads(workspace, replace(OPTIONS, models=["svm"])).run
    assert (run / "mistakes.csv").read_text().splitlines() == ["path,label,predicted,probability,part"]
    assert not (run / "mistakes.png").exists() and "mistakes" not in (run / "report.md").read_text()


def test_a_file_that_is_gone_leaves_its_place(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(manifest: Any, row: int, size: int, decoding: Any) -> np.ndarray:
        if row == 1:
            raise RejectedImage("gone")
        return np.full((8, 8, 3), (200, 0, 0), np.uint8)

    monkeypatch.setattr("classify.commands.fit_head.mistakes.load_row", read)
    found = [Mistake(f"{row}.png", "$5", "b", 0.9, "test", row) for row in (0, 1)]
    pixels = np.asarray(Image.open(BytesIO(mistakes_png(found, workspace.load(), Decoding()))).convert("RGB"))
    left, right = pixels[:, : pixels.shape[1] // 6], pixels[:, pixels.shape[1] // 6 : pixels.shape[1] // 3]
    assert (left == (200, 0, 0)).all(axis=2).mean() > 0.4 and (right == (230, 230, 230)).all(
        axis=2
    ).mean() > 0.4


def test_each_picture_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        "classify.commands.fit_head.mistakes.picture_grid", lambda *given, **_: drawn.append(given)
    )
    found = [Mistake(f"a/{'long ' * 20}{n}.png", "a", "b", 0.9, "test", n) for n in range(2)]
    mistakes_png(found, workspace.load(), Decoding(), "svm on letters")
    ((cells, _, title),) = drawn
    assert [cell.caption for cell in cells] == [
        f"long long long…ng long {n}.png\na?\nb 90%" for n in range(2)
    ]
    assert title == "Labelled so? svm on letters is sure of something else"


def test_a_frame_has_a_row_a_mistake() -> None:
    frame = to_frame([Mistake("caf\udce9.png", "a", "b", 0.123456789, "test", 3)])
    assert list(frame) == ["path", "label", "predicted", "probability", "part"]
    assert frame.iloc[0].tolist() == ["caf\udce9.png", "a", "b", 0.123457, "test"]
    assert frame["path"].dtype == "object" and frame["probability"].dtype == "float64"
    assert len(to_frame([])) == 0 and (to_frame([]).dtypes == frame.dtypes).all()
