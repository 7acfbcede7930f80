import contextlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.storage.json_file import write_json
from cache.workspace import Workspace
from classify.data.identity import part_hash
from classify.runs.readings import Log, Reading, earlier, note, record, standing, to_frame
from tests.classify.samples import make_manifest

SVM = Reading("ab" * 32, "fit-head", "svm", {"C": 1.0}, "cd" * 32, "ef" * 32, run="/runs/001-fit-head")


@pytest.fixture
def empty(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "w")


def test_the_hash_is_of_pictures_and_class_names_alone() -> None:
    manifest = make_manifest(np.array([0, 1, 1, 0]), ("cat", "dog"))
    found = part_hash(manifest, np.array([0, 1, 2]))
    assert len(found) == 64 and found == part_hash(manifest, np.array([2, 0, 1]))
    assert found == part_hash(manifest, np.array([True, True, True, False]))
    assert found != part_hash(manifest, np.array([0, 1]))
    moved = replace(manifest, paths=[f"new/{path}" for path in manifest.paths])
    assert part_hash(moved, np.array([0, 1, 2])) == found
    more = replace(manifest, classes=("ant", "cat", "dog"), label=manifest.label + 1)
    assert part_hash(more, np.array([0, 1, 2])) == found
    relabelled = replace(manifest, label=manifest.label[[1, 0, 2, 3]])
    assert part_hash(relabelled, np.array([0, 1, 2])) != found


def test_what_was_recorded_comes_back_in_order(empty: Workspace) -> None:
    assert earlier(empty, SVM.test) == [] and not empty.root.exists()
    written = [record(empty, replace(SVM, params={"C": float(i), "scale": "none"})) for i in range(20)]
    record(empty, replace(SVM, test="ab" * 16 + "00" * 16))  # same folder, another test part
    assert earlier(empty, SVM.test) == written
    assert all(each.time.endswith("+00:00") for each in written)
    assert len(list((empty.root / "readings").rglob("*.json"))) == 21


def test_a_first_reading_needs_no_note(empty: Workspace) -> None:
    assert note(earlier(empty, SVM.test), [SVM]) is None


def test_another_head_is_told_how_often_the_part_was_read(empty: Workspace) -> None:
    for head in ("svm", "logreg", "svm", "lda"):
        record(empty, replace(SVM, head=head, time="2026-01-02T03:04:05+00:00"))
    said = note(earlier(empty, SVM.test), [replace(SVM, head="knn")])
    assert said is not None and "3 heads were tested on them before" in said
    assert "the last was lda, 2026-01-02T03:04:05+00:00" in said and "choose by cv" in said


def test_the_same_head_again_is_a_repetition_in_another_run_and_later(empty: Workspace) -> None:
    record(empty, replace(SVM, params={"C": 1.0, "gamma": 2}))
    same = replace(SVM, params={"gamma": 2, "C": 1.0}, run="/runs/009-fit-head", time="later")
    said = note(earlier(empty, SVM.test), [same])
    assert said is not None and said.startswith("a repetition")
    changes = {"head": "lda", "params": {"C": 2.0}, "trained_on": "00" * 32, "space": "11" * 32}
    for name, value in changes.items():
        other = replace(same, **{name: value})
        assert not other.repeats(same)
        said = note(earlier(empty, SVM.test), [same, other])
        assert said is not None and "1 head was tested" in said


def test_a_setting_that_is_no_json_value_repeats_itself_too(empty: Workspace) -> None:
    odd = replace(SVM, params={"scale": np.float32(0.5), "layers": (3, 4)})
    record(empty, odd)
    said = note(earlier(empty, odd.test), [odd])
    assert said is not None and said.startswith("a repetition")


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 1, "colour": 2}', '{"head": "svm"}'])
def test_a_damaged_entry_is_not_passed_over(empty: Workspace, text: str) -> None:
    record(empty, SVM)
    path = next((empty.root / "readings").rglob("*.json"))
    path.write_text(text)
    with pytest.raises(UserError, match="log of test readings"):
        earlier(empty, SVM.test)


def test_an_edited_entry_is_noticed_and_a_newer_one_is_refused(empty: Workspace) -> None:
    record(empty, SVM)
    path = next((empty.root / "readings").rglob("*.json"))
    path.write_text(path.read_text().replace('"svm"', '"lda"'))
    with pytest.raises(UserError, match=r"log of test readings.*SHA-256"):
        earlier(empty, SVM.test)
    write_json(path, {"format": 3, "colour": "blue"})
    with pytest.raises(UserError, match="Update"):
        earlier(empty, SVM.test)


def test_no_flipped_bit_changes_a_reading_in_silence(empty: Workspace) -> None:
    written = record(empty, SVM)
    path = next((empty.root / "readings").rglob("*.json"))
    data, silent = path.read_bytes(), 0
    for bit in np.random.default_rng(0).choice(len(data) * 8, 1_000, replace=False).tolist():
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            silent += earlier(empty, SVM.test) != [written]
    assert silent == 0


def test_entries_of_older_versions_are_still_read_and_counted(empty: Workspace) -> None:
    folder = empty.create().root / "readings" / SVM.test[:16]
    folder.mkdir(parents=True)
    for second in range(3):
        entry = {"format": 1, **asdict(replace(SVM, params={"C": second}))}
        (folder / f"2026010{second}T000000000000-00000000.json").write_text(json.dumps(entry))
    assert [each.params for each in earlier(empty, SVM.test)] == [{"C": 0}, {"C": 1}, {"C": 2}]
    record(empty, SVM)
    assert standing(empty, SVM.test) == {"test_readings": {"test": SVM.test, "entries": 4}}
    next(folder.glob("20260101*")).unlink()
    assert any("1 entries of the log" in said for said in Log(empty, SVM.test).notes)


def test_an_entry_that_is_gone_is_still_counted(empty: Workspace) -> None:
    for head in ("svm", "lda", "knn"):
        record(empty, replace(SVM, head=head))
    paths = sorted((empty.root / "readings").rglob("*.json"))
    assert len(Log(empty, SVM.test).notes) == 1
    paths[0].unlink()  # a later entry knows of it
    seen, gone = Log(empty, SVM.test).notes
    assert "3 heads were tested" in seen and gone.startswith("1 entries of the log")

    run = empty.new_run("fit-head")
    write_json(run / "run.json", {"command": "fit-head", **standing(empty, SVM.test)})
    shutil.rmtree(empty.root / "readings")  # the run knows of them
    seen, gone = Log(empty, SVM.test).notes
    assert "3 heads were tested" in seen and gone.startswith("3 entries of the log")
    assert Log(empty, "00" * 32).notes == []
    shutil.rmtree(run)  # nobody knows of them any more
    assert Log(empty, SVM.test).notes == []


def test_entries_made_at_once_have_numbers_of_their_own(empty: Workspace) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: record(empty, replace(SVM, head=str(number))), range(24)))
    names = sorted(path.name.split("-")[1] for path in (empty.root / "readings").rglob("*.json"))
    assert names == [f"{number:06d}" for number in range(1, 25)]


def test_a_frame_has_a_row_a_reading() -> None:
    frame = to_frame([replace(SVM, time="2026-01-02T03:04:05+00:00", run="/runs/caf\udce9"), SVM])
    assert list(frame) == ["time", "command", "head", "run", "params", "test", "trained_on", "space"]
    assert str(frame["time"].dtype) == "datetime64[ns, UTC]" and (frame.dtypes[1:] == "object").all()
    assert frame["time"].isna().tolist() == [False, True] and frame["time"][0].hour == 3
    assert frame["run"][0] == "/runs/caf\udce9" and frame["params"][1] == {"C": 1.0}
    assert len(to_frame([])) == 0 and (to_frame([]).dtypes == frame.dtypes).all()


def test_a_log_tells_of_what_was_there_before_it(empty: Workspace) -> None:
    first = Log(empty, SVM.test)
    for head in ("svm", "lda"):
        first.add(replace(SVM, head=head))
    assert first.notes == []  # the second head of a run is not told of the first
    again, other = Log(empty, SVM.test), Log(empty, SVM.test)
    again.add(SVM)
    other.add(replace(SVM, head="knn"))
    assert again.notes[0].startswith("a repetition")
    assert "2 heads were tested on them before" in other.notes[0]
    assert [each.head for each in earlier(empty, SVM.test)] == ["svm", "lda", "svm", "knn"]
