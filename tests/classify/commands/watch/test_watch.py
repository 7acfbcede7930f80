"""Files are answered once they are whole, and their rows stay whatever happens."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.rejects import Reject
from classify.commands.watch import table as tables
from classify.commands.watch.arrivals import Arrivals
from classify.commands.watch.command import Watch
from classify.commands.watch.table import Table
from classify.models.classifier import Answered


class Stub:
    """Answers "a" for every file that does not begin with "bad"."""

    run, classes_ = Path("001-fit-head"), np.array(["a", "b"])

    def answer(self, manifest: Manifest, progress: Any) -> Answered:
        """Read what is there."""
        good = np.array([not Path(path).read_bytes().startswith(b"bad") for path in manifest.paths])
        rejects = [
            Reject(None, path, "damaged", 1) for path, ok in zip(manifest.paths, good, strict=True) if not ok
        ]
        return Answered(good, np.tile([0.75, 0.25], (int(good.sum()), 1)), rejects)


def rows(file: Path) -> list[dict[str, str]]:
    """What the table says."""
    with open(file, newline="") as opened:
        return list(csv.DictReader(opened))


def test_a_file_that_grows_waits(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path, ["known"])
    for name in ("known", "new", ".hidden"):
        (tmp_path / name).write_bytes(b"1")
    assert arrivals.look() == []
    (tmp_path / "new").write_bytes(b"12")
    assert arrivals.look() == []
    assert arrivals.look() == ["new"]
    assert arrivals.look() == []


def test_answers_are_appended_and_a_rejected_file_is_tried_again_when_it_changes(tmp_path: Path) -> None:
    folder, said = tmp_path / "in", list[str]()
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "=x.jpg").write_bytes(b"good")
    (folder / "half.jpg").write_bytes(b"bad")
    watch = Watch(folder, Stub(), Table(folder / "answers.csv"), said.append)  # type: ignore[arg-type]
    assert [watch.look() for _ in range(4)] == [0, 2, 0, 0]
    found = rows(folder / "answers.csv")
    assert [(row["path"], row["label"], row["probability"], row["reason"]) for row in found] == [
        ("deep/=x.jpg", "a", "0.750000", ""),
        ("half.jpg", "", "", "damaged"),
    ]
    (folder / "half.jpg").write_bytes(b"now whole")
    (folder / "deep" / "=x.jpg").write_bytes(b"another")
    assert [watch.look() for _ in range(2)] == [0, 1] and said[-1] == "half.jpg: a 75.0%"
    assert watch.watched.to_json()["pictures"] == 2 and watch.watched.rejects == 1
    again = Watch(folder, Stub(), Table(folder / "answers.csv"))  # type: ignore[arg-type]
    assert [again.look() for _ in range(3)] == [0, 0, 0]


def test_a_row_that_a_crash_cut_off_harms_no_other(tmp_path: Path) -> None:
    file = tmp_path / "answers.csv"
    Table(file).append([("one", "a", "1", "", "", "now")])
    with open(file, "ab") as half:
        half.write(b"two,a")
    table = Table(file)
    assert table.answered == ["one"]
    table.append([("three", "b", "1", "", "", "now")])
    assert Table(file).answered == ["one", "three"]


def test_another_file_and_a_full_disk_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.csv").write_text("mine\n1\n")
    with pytest.raises(UserError, match="Name another with --out"):
        Table(tmp_path / "notes.csv")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables.os, "fsync", full)
    with pytest.raises(UserError, match="no space left"):
        Table(tmp_path / "answers.csv").append([("one", "a", "1", "", "", "now")])
