"""labels.csv: answers are on the disk one by one, and other hands may have been in the table."""

import errno
import os
from pathlib import Path

import pytest

from cache.errors import UserError
from classify.commands.label.labels import UNDONE, Labels
from extract.sources.tables.table import read_table

DAISY = {"path": "a.png", "label": "daisy", "key": "00", "drawn": "typical"}
ROSE = {
    "path": "b, c.png",
    "label": "rose",
    "key": "01",
    "drawn": "random",
    "guess": "daisy",
    "probability": "0.7",
}


def test_answers_are_there_again(tmp_path: Path) -> None:
    labels = Labels(tmp_path / "new" / "labels.csv")
    labels.add([DAISY])
    labels.add([ROSE])
    again = Labels(labels.path)
    assert again.answers == labels.answers and again.answers[1].guess == "daisy"
    again.add([{**DAISY, "label": "", "drawn": UNDONE}])
    assert [each.answer for each in Labels(labels.path).answers] == ["1", "2", "3"]
    assert {path: each.label for path, each in again.last().items()} == {"b, c.png": "rose", "a.png": ""}


def test_extract_reads_the_last_answer_of_each_picture(tmp_path: Path) -> None:
    for name in ("a.png", "b, c.png"):
        (tmp_path / name).write_bytes(b"picture")
    labels = Labels(tmp_path / "labels.csv")
    labels.add([DAISY, ROSE])
    labels.add([{**DAISY, "label": "", "drawn": UNDONE}])
    labels.add([{**DAISY, "label": "tulip"}])
    found = read_table(labels.path).manifest
    assert {path: found.classes[code] for path, code in zip(found.paths, found.label, strict=True)} == {
        "a.png": "tulip",
        "b, c.png": "rose",
    }


def test_half_a_row_is_no_answer(tmp_path: Path) -> None:
    labels = Labels(tmp_path / "labels.csv")
    labels.add([DAISY, ROSE])
    whole = labels.path.read_bytes()
    labels.path.write_bytes(whole + b"c.png,tu")
    again = Labels(labels.path)
    assert len(again.answers) == 2
    again.add([{**DAISY, "label": "tulip"}])
    assert labels.path.read_bytes() == whole + b"a.png,tulip,00,3,typical,,\n"


def test_other_programs_may_edit_it(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "who;label;path;answer\nme;daisy;a.png;1\nyou;rose;b.png;2", encoding="utf-8-sig"
    )  # no newline
    labels = Labels(path)
    assert [each.label for each in labels.answers] == ["daisy", "rose"]
    labels.add([{**DAISY, "label": "tulip"}])
    assert path.read_text("utf-8-sig").splitlines()[-2:] == ["you;rose;b.png;2", ";tulip;a.png;3"]


def test_what_another_program_writes_meanwhile_stays(tmp_path: Path) -> None:
    labels = Labels(tmp_path / "labels.csv")
    labels.add([DAISY])
    Labels(labels.path).add([ROSE])
    labels.add([{**DAISY, "label": "tulip"}])
    assert [each.label for each in Labels(labels.path).answers] == ["daisy", "rose", "tulip"]


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = Labels(tmp_path / "labels.csv")
    labels.add([DAISY])
    whole, write = labels.path.read_bytes(), os.write

    def full(handle: int, data: memoryview) -> int:
        write(handle, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UserError, match="no space left"):
        labels.add([ROSE])
    monkeypatch.undo()
    assert labels.path.read_bytes() == whole and len(labels.answers) == 1
    labels.add([ROSE])
    assert len(Labels(labels.path).answers) == 2


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("path,label\na.png,daisy\n")
    with pytest.raises(UserError, match="without answer"):
        Labels(tmp_path / "other.csv")
