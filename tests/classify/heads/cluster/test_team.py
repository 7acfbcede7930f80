"""Searches on a real Ray of three nodes on this machine: the very same results, and whatever is lost."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.compare_backbones.command import compare_backbones
from classify.commands.compare_backbones.options import Contest
from classify.data.labelled import Labelled
from classify.heads.cluster import team
from classify.heads.cluster.team import spreader
from classify.heads.fitting.tasks import Spread
from classify.heads.search import SearchOptions, SearchResult, search
from classify.heads.table import HEADS, Head
from classify.runs.record import record_of
from extract.embedding.progress import Progress
from extract.settings import Ray
from tests.classify.heads.cluster import workers
from tests.raylets import Raylets

pytestmark = pytest.mark.ray
ROOT = Path(__file__).parents[4]


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def spread(raylets: Raylets, notes: list[str]) -> Iterator[Spread]:
    """A worker for the fits."""
    with spreader(Ray((), 1), notes.append) as found:
        yield found


@pytest.fixture
def few(digits: tuple[np.ndarray, np.ndarray]) -> Labelled:
    return Labelled(digits[0][:200], digits[1][:200])


def assert_same(one: SearchResult, other: SearchResult) -> None:
    """To the last bit, but for the time."""
    assert one.settings == other.settings and one.notes == other.notes
    assert [each.settings for each in one.candidates] == [each.settings for each in other.candidates]
    for mine, theirs in zip(one.candidates, other.candidates, strict=True):
        np.testing.assert_array_equal(mine.accuracy, theirs.accuracy)
    np.testing.assert_array_equal(one.scores, other.scores)


def assert_ended_early_keeps_complete_settings(few: Labelled, how: SearchOptions) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 110:  # of 126: whichever worker is slow, some settings are complete
            raise KeyboardInterrupt

    whole = {repr(each.params): each.accuracy.tolist() for each in search(HEADS["svm"], few, how).candidates}
    ticks = itertools.count(0.0).__next__  # a second each look
    late = search(HEADS["svm"], few, replace(how, seconds=110.0, clock=ticks))
    stopped = search(HEADS["svm"], few, replace(how, on_progress=interrupt))
    assert (late.interrupted, stopped.interrupted) == (False, True)
    for found in (late, stopped):
        assert 0 < len(found.candidates) < len(whole)
        assert all(whole[repr(each.params)] == each.accuracy.tolist() for each in found.candidates)


def _noted(seen: list[tuple[int, int]], done: int, total: int) -> None:
    seen.append((done, total))


def test_results_are_those_of_threads(few: Labelled, raylets: Raylets, notes: list[str]) -> None:
    def make() -> Pipeline:
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2))

    short = Head("short", make, lambda width: {}, 0)  # scikit-learn warns of it
    with spreader(Ray((), 2), notes.append) as spread:
        for head in (HEADS["svm"], HEADS["logreg"], HEADS["ridge"], HEADS["knn"], short):
            seen: list[tuple[int, int]] = []
            how = SearchOptions(folds=3, n_jobs=2)
            here = search(head, few, how)
            there = search(head, few, replace(how, spread=spread, on_progress=partial(_noted, seen)))
            assert_same(here, there)
            fits = 3 * len(here.candidates)
            assert seen == [(done + 1, fits) for done in range(fits)]
        assert "converge" in here.notes[0]
        assert_ended_early_keeps_complete_settings(few, replace(how, spread=spread))
    assert notes == ["fits on Ray: 2 workers of 1 core on 2 nodes"]


def test_fits_of_lost_workers_are_done_by_others(
    few: Labelled, raylets: Raylets, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called, seen = list[Any](), list[int]()
    seated = team.seated
    monkeypatch.setattr(team, "seated", lambda *words: called.append(seated(*words)) or called[-1])

    def kill(done: int, total: int) -> None:
        seen.append(done)
        if done == 5:
            for actor in called[:2]:
                raylets.ray.kill(actor)

    with spreader(Ray((), 2), notes.append) as spread:
        found = search(HEADS["svm"], few, SearchOptions(folds=3, spread=spread, on_progress=kill))
    assert_same(found, search(HEADS["svm"], few, SearchOptions(folds=3)))
    assert sum("is lost (ActorDiedError): another does its fit" in note for note in notes) == 2
    assert len(called) == 4
    assert seen == list(range(1, 127))  # none is done twice


def test_a_fit_that_kills_workers_ends_it_with_what_to_lower(
    few: Labelled, spread: Spread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "Fits", workers.Mortal)
    with pytest.raises(UserError, match=r"3 deaths over the same fit: .* lower --jobs"):
        search(HEADS["ridge"], few, SearchOptions(folds=3, spread=spread))


def test_other_libraries_on_a_node_are_told(
    few: Labelled, spread: Spread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "versions", lambda *names: {"python": "3.11.4", "scikit-learn": "9.9"})
    with pytest.raises(UserError, match=r"scikit-learn 9\.9\), received others on .*Install the same"):
        search(HEADS["ridge"], few, SearchOptions(spread=spread))


def test_a_cluster_that_others_hold_is_told(
    few: Labelled, raylets: Raylets, spread: Spread, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Holder:
        def ready(self) -> bool:
            return True

    holders = [raylets.ray.remote(Holder).options(num_cpus=1).remote() for _ in range(3)]
    raylets.ray.get([each.ready.remote() for each in holders])
    monkeypatch.setattr(team, "ALL", 0.5)
    monkeypatch.setattr(team, "ONE", 0.5)
    try:
        with pytest.raises(UserError, match=r"room for 1 worker, received none for 1 s: .* of 3 CPU free"):
            search(HEADS["ridge"], few, SearchOptions(spread=spread))
    finally:
        for each in holders:
            raylets.ray.kill(each)


def test_compare_backbones_embeds_and_fits_there(
    few_flowers: Path, tmp_path: Path, raylets: Raylets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extract.engines.timing.AT_LEAST", 0.0)
    contest, notes = Contest(("efficientnet_lite0",)), list[str]()

    def outcome(name: str, cluster: Ray) -> Any:
        workspace = Workspace(tmp_path / name)
        progress = Progress(note=notes.append)
        return compare_backbones(workspace, contest, source=few_flowers, cluster=cluster, progress=progress)[
            0
        ]

    here, there = outcome("here", Ray()), outcome("there", Ray(()))
    found = [
        {each["pooling"]: each["accuracy"] for each in outcome.to_json()["backbones"]}
        for outcome in (here, there)
    ]
    assert found[0] == found[1]
    assert [note.split(":")[0] for note in notes if "on Ray" in note] == ["on Ray", "fits on Ray"]


def test_fit_head_starts_a_ray_of_this_machine(workspace: Workspace, tmp_path: Path) -> None:
    words = ["fit-head", "--model", "ridge,svm", "--no-curve", "--json", "--workspace", str(workspace.root)]
    runs = []
    for more in ([], ["--ray", "--jobs", "1"]):
        done = subprocess.run(
            [sys.executable, str(ROOT / "cli.py"), *words, *more],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        runs.append(json.loads(done.stdout))
    assert "fits on Ray: 1 worker of 1 core on 1 node" in done.stderr
    for run in runs:
        for head in run["heads"]:
            del head["seconds"]
    assert runs[0]["heads"] == runs[1]["heads"]
    one, other = (record_of(Path(run["run"])) for run in runs)
    assert one["head"] == other["head"] and other["parameters"]["n_jobs"] is None
