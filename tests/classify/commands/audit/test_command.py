"""The command as people run it: on pictures, with and without a run, and its table through extract again."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import cli
from cache.manifest import TEST, TRAIN, Manifest
from cache.workspace import Workspace
from classify.commands.audit import command
from classify.commands.audit.command import audit
from classify.commands.audit.result import Audited
from classify.commands.demo import write_digits
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.data.neighbours.cached import neighbours_of
from classify.data.neighbours.search import Neighbours
from classify.runs.predictions import read_pictures
from classify.runs.record import record_of
from classify.runs.summary import runs_of
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.settings import Decoding, Options
from tests.classify.samples import make_manifest

Build = Callable[[Manifest, np.ndarray], Workspace]
MOVED = 3


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with digits/ (160, of which three are in the folder of another digit), extracted in w/."""
    folder = tmp_path_factory.mktemp("session")
    write_digits(folder / "digits", 160)
    for picture in sorted((folder / "digits" / "0").iterdir())[:MOVED]:
        picture.rename(folder / "digits" / "1" / f"moved {picture.name}")
    extract(Workspace(folder / "w"), folder / "digits", Backbone.of(input_size=64), Decoding(), Options())
    return folder


@pytest.fixture(scope="module")
def found(session: Path) -> Audited:
    return audit(Workspace(session / "w"))


def test_moved_pictures_are_found_without_a_run(session: Path, found: Audited) -> None:
    table = found.to_frame()
    labels = table[table["kind"] == "label"]
    moved = labels[labels["path"].str.contains("moved")]
    assert len(moved) == MOVED and moved["rank"].max() <= 2 * MOVED
    assert (moved["label"] == "1").all() and (moved["suggested_label"] == "0").all()
    assert moved["why"].str.contains("nearest are 0").all()
    assert labels["rank"].tolist() == list(range(1, len(labels) + 1))
    assert labels["score"].is_monotonic_decreasing
    assert found.judged == 160 and abs(found.errors - len(labels)) <= 1
    paths = set(found.data.manifest.paths)
    assert set(labels["nearest_1"]) <= paths and (labels["nearest_1"] != labels["path"]).all()
    assert len(labels.filter(like="nearest_").columns) == 5


def test_the_run_has_tables_pictures_and_a_page(session: Path, found: Audited) -> None:
    there = {path.name for path in found.run.iterdir()}
    assert {"report.md", "issues.csv", "mended.csv", "report.html", "run.json"} <= there
    written = pd.read_csv(found.run / "issues.csv", dtype={"label": str, "suggested_label": str})
    expected = found.to_frame()
    assert written["path"].fillna("").tolist() == expected["path"].tolist()
    assert written.columns.tolist() == expected.columns.tolist()
    page = (found.run / "report.md").read_text("utf-8")
    assert "## Wrong labels" in page and "moved" in page
    assert record_of(found.run)["result"] == json.loads(json.dumps(found.to_json()))
    (listed,) = runs_of(Workspace(session / "w"))
    assert listed.command == "audit" and listed.dataset == "digits" and listed.finished
    assert str(session) not in (found.run / "report.html").read_text("utf-8")
    text = found.to_text()
    assert "wrong labels:" in text and "moved" in text and str(found.run) in text


def test_neighbours_that_an_index_misses_are_told_on_the_page(
    session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def few(*asked: object) -> Neighbours:
        return replace(neighbours_of(*asked), recall=0.9)

    monkeypatch.setattr(command, "neighbours_of", few)
    shutil.copytree(session / "w", session / "w4")
    run = audit(Workspace(session / "w4")).run
    for name in ("report.md", "report.html"):
        assert "90.0% of the true ones, on a sample of 1,000" in (run / name).read_text("utf-8")


def test_a_workspace_that_used_nothing_last_says_what_to_name(
    session: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone, words = str(session / "w5"), ["--workspace", str(session / "w5")]
    shutil.copytree(session / "digits" / "7", session / "sevens" / "7")
    assert cli.main(["extract", str(session / "sevens"), *words]) == 0
    space = Workspace(session / "w5").spaces()[0].space.id[:12]
    for name in ("audit", "map"):
        capsys.readouterr()
        assert cli.main([name, "--workspace", alone]) == 1
        assert f"Choose --dataset sevens and --space {space} (" in capsys.readouterr().err
    assert cli.main(["audit", *words, "--dataset", "sevens", "--space", space]) == 0


def test_the_mended_table_is_extracted_again_and_nothing_is_embedded(
    session: Path, found: Audited, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(session / "w", session / "w2")
    table, place = str(found.run / "mended.csv"), ["--workspace", str(session / "w2")]
    assert cli.main(["extract", table, "--input-size", "64", "--name", "mended", "--json", *place]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == 160 and said["embedded"] == 0 and said["rejected"] == 0
    before, after = Workspace(session / "w2").manifest("digits"), Workspace(session / "w2").manifest("mended")
    label = {
        Path(before.root, path).resolve(): before.classes[code]
        for path, code in zip(before.paths, before.label, strict=True)
    }
    suggested = {
        (Path(before.root) / found.place(each)).resolve(): each.suggested for each in found.of("label")
    }
    assert len(after) == 160 and len(suggested) >= MOVED
    for row, path in enumerate(after.paths):
        file = Path(after.root, path).resolve()
        assert after.classes[after.label[row]] == suggested.get(file, label[file])
        assert after.columns["label_was"][row] == (label[file] if file in suggested else "")
    assert cli.main(["audit", "--dataset", "mended", "--json", *place]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["issues"]["label"] < len(suggested)


def test_a_run_of_fit_head_answers(session: Path) -> None:
    shutil.copytree(session / "w", session / "w3")
    workspace = Workspace(session / "w3")
    run = fit_heads(workspace, FitOptions(models=("ridge",), curve=False)).run
    again = audit(workspace)
    assert run.name in again.answered_by and "ridge" in again.answered_by
    assert {again.place(each) for each in again.of("label")} >= {
        path for path in again.data.manifest.paths if "moved" in path
    }
    assert record_of(again.run)["answered_by"] == run.name
    listed = {each.folder.name: each for each in runs_of(workspace)}
    assert listed[run.name].used  # an audit is nothing to predict with


def test_planted_errors_are_counted_on_the_command_line(
    session: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--workspace", str(session / "w")]
    assert cli.main(["audit", "--planted", "5%", "--seeds", "2", *place]) == 0
    text = capsys.readouterr().out
    assert "planted: 8 wrong labels (5.0%) in each of 2 copies" in text and "n = 16" in text
    assert "worth of mending: cross-validated accuracy" in text
    page = max((session / "w").glob("runs/*-audit/report.md")).read_text("utf-8")
    assert "How far to trust this" in page and "n = 16" in page


@pytest.mark.parametrize("share", ["0", "60%", "5", "many", "-5%"])
def test_a_share_that_is_none_is_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", f"--planted={share}"]) == cli.USAGE
    assert "expected a share of at most a half" in capsys.readouterr().err


def test_pictures_that_are_gone_are_judged_all_the_same(session: Path, found: Audited) -> None:
    shutil.copytree(session / "w", session / "gone" / "w")
    (session / "digits").rename(session / "elsewhere")
    try:
        again = audit(Workspace(session / "gone" / "w"))
    finally:
        (session / "elsewhere").rename(session / "digits")
    assert [each.row for each in again.of("label")] == [each.row for each in found.of("label")]
    assert "data:image" in (found.run / "report.html").read_text("utf-8")
    shown = (again.run / "report.html").read_text("utf-8")
    assert "are gone, or changed since" in shown and "data:image" not in shown


def test_copies_in_two_folders_are_one_issue_and_no_wrong_label(session: Path, tmp_path: Path) -> None:
    for label in "01":
        (tmp_path / "few" / label).mkdir(parents=True)
        for picture in sorted((session / "digits" / label).glob("[0-9]*.png"))[:8]:
            shutil.copy2(picture, tmp_path / "few" / label)
    one = sorted((tmp_path / "few" / "0").iterdir())[0]
    shutil.copy2(one, tmp_path / "few" / "1" / "same.png")
    Image.open(one).resize((24, 24)).save(tmp_path / "few" / "1" / "near.png")
    workspace = Workspace(tmp_path / "w")
    extract(workspace, tmp_path / "few", Backbone.of(), Decoding(), Options())
    found = audit(workspace)
    copies = {found.place(each): each for each in found.of("copy")}
    assert set(copies) == {f"0/{one.name}", "1/same.png", "1/near.png"}
    assert copies["1/near.png"].score < copies["1/same.png"].score == 1
    assert not {found.place(each) for each in found.of("label")} & {f"0/{one.name}", "1/same.png"}


def rows_of(label: np.ndarray, seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return (np.eye(64)[label] + chance.normal(scale=0.05, size=(len(label), 64))).astype(np.float32)


@pytest.mark.parametrize("n", [1, 40])
def test_one_class_and_one_picture_are_audited_without_labels(build: Build, n: int) -> None:
    label = np.zeros(n, int)
    found = audit(build(make_manifest(label, ("a",)), rows_of(label)), planted=0.1)
    assert found.judged == 0 and found.answered_by == "" and found.of("label") == [] and found.planted is None
    assert any("takes two classes" in note for note in found.notes)
    assert any("no errors were planted" in note for note in found.notes)
    assert "Labels judged: none" in (found.run / "report.md").read_text("utf-8")


def test_no_mistakes_no_issues(build: Build) -> None:
    label = np.arange(120) % 3
    found = audit(build(make_manifest(label, ("a", "b", "c")), rows_of(label)))
    assert found.issues == [] and found.errors < 1 and "wrong labels: none" in found.to_text()
    assert (found.run / "issues.csv").read_text().splitlines()[0].startswith("path,key,label,kind")
    assert (
        not (found.run / "labels.png").exists() and "labels.png" not in (found.run / "report.md").read_text()
    )


def test_names_that_are_markup_long_or_written_from_right_to_left_stay_names(build: Build) -> None:
    names = ("<img src=x onerror=alert(1)>", "long " * 60, "שושנה", "=1+1")
    label = np.arange(200) % 4
    truth = label.copy()
    label[:4] = (label[:4] + 1) % 4
    manifest = make_manifest(label, names)
    manifest.paths = ['a "quoted", <b>name</b>.png', *manifest.paths[1:]]
    found = audit(build(manifest, rows_of(truth)))
    wrong = found.to_frame().query("kind == 'label'")
    assert set(wrong["path"]) == set(manifest.paths[:4])
    assert dict(zip(wrong["path"], wrong["suggested_label"], strict=True)) == {
        manifest.paths[row]: names[truth[row]] for row in range(4)
    }
    shown = (found.run / "report.html").read_text("utf-8")
    assert "<img src=x" not in shown and "<b>name" not in shown
    page = (found.run / "report.md").read_text("utf-8")
    assert not re.search(r"(?<!\\)<", page)
    mended = read_pictures(found.run / "mended.csv")
    assert mended["label"].tolist() == [names[code] for code in truth]


def test_rows_without_a_label_are_passed_over(build: Build) -> None:
    label = np.arange(120) % 3
    manifest = make_manifest(label, ("a", "b", "c"))
    manifest.label[:10] = -1
    found = audit(build(manifest, rows_of(label)))
    assert found.judged == 110 and found.of("label") == []
    assert read_pictures(found.run / "mended.csv")["label"].tolist()[:10] == [""] * 10


def test_copies_across_the_parts_of_a_data_set_are_named(build: Build) -> None:
    label = np.arange(120) % 3
    manifest = make_manifest(label, ("a", "b", "c"))
    manifest.split[:90], manifest.split[90:] = TRAIN, TEST
    manifest.key[93] = manifest.key[0]
    found = audit(build(manifest, rows_of(label)))
    assert [each.row for each in found.of("copy")] == [0, 93]
