"""Two runs side by side: on shared pictures alone, with the paired test."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from classify.metrics.comparison import compare
from classify.pages.pair import side_by_side, write_pair
from classify.pages.run import read_run
from classify.runs.scores import Scores, write
from tests.classify.pages.made import HOSTILE, make_run


def test_the_test_is_paired_on_the_same_pictures(tmp_path: Path) -> None:
    workspace, one = make_run(tmp_path, mistakes=4)
    _, two = make_run(tmp_path, mistakes=9, name="002-fit-head", seed=1)
    file, found = write_pair(workspace, one, two)
    truth, right = np.zeros(30), np.arange(30)
    names = "centroid of 001-fit-head", "centroid of 002-fit-head"
    assert found == compare(*names, truth, right < 4, right < 9)
    assert (found.only_first, found.only_second, found.n) == (5, 0, 30)
    page = file.read_text("utf-8")
    assert file == one / "against-002-fit-head.html" and found.sentence() in page
    assert page.count("background-image:url(data:") == 5


def test_the_way_to_the_pictures_is_not_told(tmp_path: Path) -> None:
    workspace, one = make_run(tmp_path)
    _, two = make_run(tmp_path, name="002-fit-head", seed=1)
    page = write_pair(workspace, one, two)[0].read_text("utf-8")
    assert "<bdi>pictures</bdi>" in page and str(tmp_path) not in page


def test_pictures_of_one_run_alone_do_not_count(tmp_path: Path) -> None:
    workspace, one = make_run(tmp_path, n=30)
    runs = read_run(one), read_run(one)
    fewer = replace(runs[1], answers=runs[1].answers.iloc[10:])
    pair = side_by_side(workspace, runs[0], fewer)
    assert pair.comparison.n == 20 and "30 pictures, of which 20 count" in pair.notes[0]
    relabelled = fewer.answers.assign(label=["a", *fewer.answers["label"][1:]])
    pair = side_by_side(workspace, runs[0], replace(fewer, answers=relabelled))
    assert pair.comparison.n == 19 and "1 picture left out" in pair.notes[-1]


def test_a_folder_that_was_moved_between_two_runs_holds_the_same_pictures(tmp_path: Path) -> None:
    workspace, one = make_run(tmp_path, mistakes=4)
    _, two = make_run(tmp_path, mistakes=9, name="002-fit-head", seed=1)
    manifest = workspace.manifest("made")
    nobody, n = np.zeros(30, np.int32), len(manifest)
    answers = np.eye(3, dtype=np.float32)[manifest.label]
    test = np.full(n, 2, np.uint8), np.full(n, -1, np.int16)
    write(
        one,
        Scores(("a", "b", "c"), manifest.key, tuple(manifest.paths), manifest.label, *test, nobody, answers),
    )
    first, second = read_run(one), read_run(two)
    moved = replace(first, record=first.record | {"root": "/where/they/were"})
    assert side_by_side(workspace, moved, second).comparison.n == 30


def test_runs_that_share_no_picture_are_refused(tmp_path: Path) -> None:
    workspace, one = make_run(tmp_path / "one")
    _, two = make_run(tmp_path / "two", name="002-fit-head")
    (workspace.root / "manifests").rename(
        workspace.root / "gone"
    )  # nobody knows the pictures but by their places
    with pytest.raises(UserError, match="share none"):
        write_pair(workspace, one, two)


def test_names_are_never_markup(tmp_path: Path) -> None:
    classes = HOSTILE, "b", "c"
    workspace, one = make_run(tmp_path, classes, mistakes=4)
    _, two = make_run(tmp_path, classes, mistakes=9, name="002-fit-head", seed=1)
    page = write_pair(workspace, one, two)[0].read_text("utf-8")
    assert "<img" not in page and "&lt;img src=x" in page
