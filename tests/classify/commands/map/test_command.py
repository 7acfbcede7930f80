"""`map` from the cache to the file: places that stay, what is known of each picture, and all that may be missing."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from cache.errors import UserError
from cache.storage.hdf5 import read_arrays
from cache.workspace import Workspace
from classify.commands.map import command, layout, sprites
from classify.commands.map.command import draw_map
from classify.runs.folder import write_json
from classify.runs.record import record_of
from tests.classify.commands.map.made import answer, keep_pictures
from tests.classify.samples import SPACE, make_manifest

LABELS = [0, 1, 2] * 12


def told(file: Path) -> dict[str, Any]:
    """What the page's script is given."""
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', file.read_text("utf-8"), re.S
    )
    assert found
    return json.loads(found[1])


def kept(workspace: Workspace) -> dict[bytes, list[float]]:
    """The places beside the space, by key."""
    (path,) = (workspace.store(SPACE).folder / "maps").glob("*.h5")
    arrays = read_arrays(path, 1, "").named
    return {key.tobytes(): where.tolist() for key, where in zip(arrays["key"], arrays["where"], strict=True)}


def test_a_map_is_drawn_and_its_places_are_kept(tmp_path: Path) -> None:
    workspace, manifest = keep_pictures(tmp_path, LABELS, ("a", "b", "c"))
    made = draw_map(workspace)
    assert (
        made.file == tmp_path / "runs" / "001-map" / "map.html" and (made.file.parent / "run.json").exists()
    )
    assert (
        (made.pictures, made.added, made.notes) == (36, None, [])
        and made.trust[1] == 36
        and made.trust[0] > 0.8
    )
    page = told(made.file)
    assert page["paths"] == manifest.paths and page["facts"][0]["code"] == LABELS
    assert min(page["x"]) == min(page["y"]) == 0 and max(page["x"] + page["y"]) == 8192
    assert page["sheet"] == {"side": 96, "columns": 6} and "data:image/webp" in made.file.read_text("utf-8")
    whole = made.file.read_text("utf-8")
    assert "in <bdi>things</bdi>" in whole and str(tmp_path) not in whole
    again = draw_map(workspace, out=tmp_path / "again.html")
    assert (again.added, again.method) == (0, None) and "where they were before" in again.to_text()
    assert (told(again.file)["x"], told(again.file)["y"]) == (page["x"], page["y"])


def test_old_pictures_stay_when_others_come(tmp_path: Path) -> None:
    pytest.importorskip("openTSNE", reason="pip install 'coldframe[map]'")
    workspace, _ = keep_pictures(tmp_path, LABELS, ("a", "b", "c"))
    draw_map(workspace)
    before = kept(workspace)
    workspace, _ = keep_pictures(tmp_path, [*LABELS, 2, 2, 1], ("a", "b", "c"))
    made = draw_map(workspace)
    after = kept(workspace)
    assert made.added == 3 and len(after) == 39 and {key: after[key] for key in before} == before
    assert "3 of them new beside old ones, which stay" in made.to_text()
    workspace, _ = keep_pictures(tmp_path, LABELS[:20], ("a", "b", "c"))  # some have gone
    assert draw_map(workspace).added == 0 and kept(workspace) == after
    assert draw_map(workspace, fresh=True).added is None and len(kept(workspace)) == 20


def test_without_the_extra_all_are_laid_out_anew_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (layout, command):
        monkeypatch.setattr(module, "has_extra", lambda: False)
    workspace, _ = keep_pictures(tmp_path, LABELS, ("a", "b", "c"))
    with threadpool_limits(1, user_api="openmp"):
        assert draw_map(workspace).method == "scikit-learn's TSNE"
        workspace, _ = keep_pictures(tmp_path, [*LABELS, 1], ("a", "b", "c"))
        (note,) = draw_map(workspace).notes
    assert "1 picture came since" in note and "coldframe[map]" in note


def test_all_are_laid_out_anew_where_most_are_new(tmp_path: Path) -> None:
    workspace, _ = keep_pictures(tmp_path, LABELS[:15], ("a", "b", "c"))
    draw_map(workspace)
    workspace, _ = keep_pictures(tmp_path, LABELS, ("a", "b", "c"))
    made = draw_map(workspace)
    assert (
        made.added is None and "21 pictures came since" in made.notes[0] and "most are new" in made.notes[0]
    )


def test_damaged_places_are_laid_out_anew(tmp_path: Path) -> None:
    workspace, _ = keep_pictures(tmp_path, LABELS, ("a", "b", "c"))
    draw_map(workspace)
    (path,) = (workspace.store(SPACE).folder / "maps").glob("*.h5")
    path.write_bytes(path.read_bytes()[:-100])
    made = draw_map(workspace)
    assert made.added is None and "are damaged" in made.notes[0] and len(kept(workspace)) == 36


def test_answers_parts_and_audit_kinds_are_shown_by_picture(tmp_path: Path) -> None:
    workspace, manifest = keep_pictures(tmp_path, LABELS, ("a", "b", "c"))
    folder = answer(workspace, manifest)
    audit = workspace.runs / "002-audit"
    audit.mkdir()
    table = "path,label,kind,score\n1.png,b,pixels,1\n1.png,b,label,1\n2.png,c,copy,1\n,c,class,1\n"
    (audit / "issues.csv").write_text(table)
    write_json(audit / "run.json", {"command": "audit", "dataset": "things"})
    made = draw_map(workspace)
    page = told(made.file)
    facts = {
        fact["name"]: [fact["values"][code] if code >= 0 else "" for code in fact["code"]]
        for fact in page["facts"]
    }
    assert list(facts) == ["label", "answer", "verdict", "part", "audit"] == made.to_json()["coloured_by"]
    assert facts["answer"][:3] == ["b", "b", "c"] and facts["answer"][-1] == ""
    assert facts["verdict"][:2] == ["wrong", "right"] and facts["verdict"][-1] == ""
    assert facts["part"][:2] == ["train", "test"] and facts["audit"][:4] == ["none", "label", "copy", "none"]
    assert page["permille"][0] == 867 and page["permille"][-1] == -1
    assert [line.split(" (")[0] for line in made.facts.sources] == [
        f"answers of {folder.name}",
        "findings of 002-audit",
    ]


def test_a_run_without_scores_is_told(tmp_path: Path) -> None:
    workspace, manifest = keep_pictures(tmp_path, LABELS, ("a", "b", "c"))
    (answer(workspace, manifest) / "scores.h5").unlink()
    (note,) = draw_map(workspace).notes
    assert "without answers" in note and "fit-head --dataset things" in note
    with pytest.raises(UserError, match=r"Expected scores.h5 in .*Run `fit-head --dataset things"):
        draw_map(workspace, run="1")
    with pytest.raises(UserError, match="Expected the folder of a run, received '7'"):
        draw_map(workspace, run="7")


def test_a_run_of_another_data_set_is_not_taken(tmp_path: Path) -> None:
    workspace, manifest = keep_pictures(tmp_path, LABELS, ("a", "b", "c"))
    folder = answer(workspace, manifest)
    write_json(folder / "run.json", {**record_of(folder), "dataset": "others"})
    assert draw_map(workspace).to_json()["coloured_by"] == ["label"]


def test_files_that_are_gone_are_counted(tmp_path: Path) -> None:
    workspace, manifest = keep_pictures(tmp_path, LABELS, ("a", "b", "c"))
    (tmp_path / "things" / "3.png").unlink()
    (tmp_path / "things" / "4.png").write_bytes((tmp_path / "things" / "5.png").read_bytes())
    thumbnails = sprites.thumbnails_of(workspace, SPACE).create()
    thumbnails.add(manifest.key[3:4], np.full((1, 32, 32), 128, np.float16))
    made = draw_map(workspace)
    assert len(made.notes) == 2
    assert made.notes[0].startswith("1 file gone or changed since: the small grey picture")
    assert made.notes[1].startswith("1 file gone or changed since, of which there is no small")


def test_more_pictures_than_asked_for_are_a_sample(tmp_path: Path) -> None:
    workspace, _ = keep_pictures(tmp_path, [0] * 6 + [1] * 18, ("a", "b"))
    made = draw_map(workspace, most=8)
    page = told(made.file)
    assert sorted(page["facts"][0]["code"]) == [0] * 2 + [1] * 6 and "sample of 8 of 24" in made.notes[0]
    other = told(draw_map(workspace, most=8, seed=1, out=tmp_path / "1.html").file)
    assert page["paths"] != other["paths"]
    assert page["paths"] == told(draw_map(workspace, most=8, out=tmp_path / "2.html").file)["paths"]


def test_too_many_pictures_have_no_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, _ = keep_pictures(tmp_path, LABELS, ("a", "b", "c"))
    for module in (sprites, command):
        monkeypatch.setattr(module, "MOST", 30)
    made = draw_map(workspace)
    assert told(made.file)["sheet"] is None and "no small pictures" in made.notes[0]


def test_a_sheet_stays_within_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, _ = keep_pictures(tmp_path, LABELS, ("a", "b", "c"))
    data = workspace.load()
    large = sprites.sheet_of(workspace, data)
    monkeypatch.setattr(sprites, "BUDGET", 36 * 48 * 48 // 5 + 1)
    assert large and large.side == 96 and sprites.sheet_of(workspace, data).side == 48


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_a_few_pictures_of_one_class(tmp_path: Path, count: int) -> None:
    workspace, _ = keep_pictures(tmp_path, [0] * count, ("only",))
    made = draw_map(workspace)
    assert made.pictures == count and len(told(made.file)["x"]) == count
    assert (made.trust is None) == (count < 3)


def test_pictures_without_a_label_and_copies(tmp_path: Path) -> None:
    workspace, manifest = keep_pictures(tmp_path, LABELS, ("a", "b", "c"))
    twice = manifest.select(np.r_[np.arange(36), 0])
    twice.paths = [*twice.paths[:-1], "copy.png"]
    twice.label[:] = -1
    workspace.save_manifest("things", twice)
    made = draw_map(workspace)
    page = told(made.file)
    assert (made.pictures, made.distinct) == (37, 36) and page["facts"] == []
    assert (page["x"][0], page["y"][0]) == (page["x"][-1], page["y"][-1])


def test_5000_classes_of_pictures_that_are_gone(build: Any) -> None:
    n = 5_000
    rows = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    workspace = build(make_manifest(np.arange(n), tuple(f"class {i}" for i in range(n))), rows)
    made = draw_map(workspace, most=300)
    assert made.pictures == 300 and made.bytes < 200_000 and len(told(made.file)["facts"][0]["values"]) == 300


def test_nothing_extracted_and_a_file_that_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing was extracted yet"):
        draw_map(Workspace(tmp_path / "nothing"))
    workspace, _ = keep_pictures(tmp_path, [0, 1], ("a", "b"))
    with pytest.raises(UserError, match=r"ends in \.html, received .*a\.png"):
        draw_map(workspace, out=tmp_path / "a.png")
