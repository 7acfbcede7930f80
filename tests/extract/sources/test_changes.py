"""What is different since the last time, told by path and by key."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import cli
from cache.manifest import Manifest
from extract.sources.changes import Changes, compare
from tests.extract.sample_pictures import encode, scene


def made(root: str, files: dict[str, tuple[str, str]]) -> Manifest:
    """A manifest of path -> (class, bytes); no bytes: not hashed."""
    classes = tuple(sorted({label for label, _ in files.values()}))
    keys = [hashlib.sha256(data.encode()).digest() if data else bytes(32) for _, data in files.values()]
    n = len(files)
    return Manifest(
        root,
        classes,
        list(files),
        np.array([classes.index(label) for label, _ in files.values()], np.int32),
        np.zeros(n, np.uint8),
        np.frombuffer(b"".join(keys), np.uint8).reshape(n, 32).copy(),
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
    )


def test_each_picture_is_in_one_list() -> None:
    before = made(
        "/a",
        {
            "rose/1": ("rose", "1"),
            "rose/2": ("rose", "2"),
            "rose/3": ("rose", "3"),
            "rose/4": ("rose", "4"),
            "rose/5": ("rose", "5"),
            "lily/1": ("lily", "6"),
            "lily/2": ("lily", "7"),
            "lily/3": ("lily", ""),
        },
    )
    now = made(
        "/b",
        {
            "rose/1": ("rose", "1"),
            "rose/2": ("rose", "other"),
            "rose/new": ("rose", "new"),
            "rose/x/4": ("rose", "4"),
            "tulip/5": ("tulip", "5"),
            "lilies/1": ("lilies", "6"),
            "lilies/2": ("lilies", "7"),
            "lily/3": ("lilies", ""),
        },
    )
    found = compare(before, now)
    assert found == Changes(
        new=["rose/new"],
        gone=["rose/3"],
        changed=["rose/2"],
        moved=["rose/x/4"],
        relabelled=["tulip/5"],
        renamed={"lily": "lilies"},
        place=("/a", "/b"),
    )
    assert found.to_text() == (
        "since the last time: 1 new (rose/new), 1 gone (rose/3), 1 changed (rose/2), 1 moved (rose/x/4), "
        "1 relabelled (tulip/5), 1 class renamed (lily -> lilies), the folder moved from /a"
    )
    assert not compare(now, now) and compare(now, now).to_text() == ""


def test_a_class_that_is_split_or_joined_is_not_renamed() -> None:
    before = made("/a", {"c/1": ("c", "1"), "c/2": ("c", "2"), "d/3": ("d", "3")})
    split = made("/a", {"e/1": ("e", "1"), "f/2": ("f", "2"), "d/3": ("d", "3")})
    joined = made("/a", {"d/1": ("d", "1"), "d/2": ("d", "2"), "d/3": ("d", "3")})
    assert compare(before, split) == Changes(relabelled=["e/1", "f/2"])
    assert compare(before, joined) == Changes(relabelled=["d/1", "d/2"])


def test_copies_move_one_by_one_and_empty_sides_compare() -> None:
    before = made("/a", {"c/1": ("c", "1"), "c/2": ("c", "1"), "c/3": ("c", "3")})
    now = made("/a", {"c/4": ("c", "1"), "c/3": ("c", "3")})
    assert compare(before, now) == Changes(gone=["c/2"], moved=["c/4"])
    assert compare(before, before.select(np.zeros(3, bool))).gone == ["c/1", "c/2", "c/3"]


def test_copies_in_a_class_that_is_renamed_go_with_it() -> None:
    before = made("/a", {"c/1": ("c", "1"), "c/2": ("c", "1"), "d/3": ("d", "3")})
    now = made("/a", {"e/1": ("e", "1"), "e/2": ("e", "1"), "d/3": ("d", "3")})
    assert compare(before, now) == Changes(renamed={"c": "e"})


def test_extract_tells_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / "pics" / name).mkdir(parents=True)
        for number in range(4):
            picture = encode(scene(seed=10 * (name == "b") + number), "PNG")
            (tmp_path / "pics" / name / f"{number}.png").write_bytes(picture)
    words = ["extract", str(tmp_path / "pics"), "--workspace", str(tmp_path / "w")]
    assert cli.main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changes"] is None
    (tmp_path / "pics/a/0.png").unlink()
    (tmp_path / "pics/a/1.png").rename(tmp_path / "pics/b/one.png")
    assert cli.main(words) == 0
    told = capsys.readouterr().err
    assert "since the last time: 1 gone (a/0.png), 1 relabelled (b/one.png)" in told
    assert cli.main([*words, "--json"]) == 0
    again = capsys.readouterr()
    assert not any(json.loads(again.out)["changes"].values()) and "since the last time" not in again.err
