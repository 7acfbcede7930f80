"""A run that was cut short is found, checked and gone on with; one that has changed is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.storage.json_file import write_json
from cache.workspace import Workspace
from classify.commands.finetune import resume
from classify.commands.finetune.asked import Enlarged, Mirrored, Sized
from classify.commands.finetune.result import Chosen
from classify.training.checkpoint import Checkpoint
from classify.training.history import Epoch, History, Interpolation
from classify.training.settings import Pace, Settings
from tests.classify.commands.finetune.start.test_start import begun, headed, sample

Build = Callable[..., Workspace]
EPOCH = Epoch(1, 0.5, 0.8, 0.4, 0.75, 3e-4, 2.5, 0.375)
SETTINGS = Settings(epochs=3, lr=2e-4, top=None, from_layer="block9_add", skip_easy=0.3)


@pytest.fixture
def workspace(build: Build) -> Workspace:
    made = build(*sample([20, 20, 20]))
    headed(made)
    return made


def opened(workspace: Workspace, folder: Path, border: str = "block9_add") -> Checkpoint | None:
    return resume.open_run(folder, replace(begun(workspace), settings=SETTINGS), border)


@pytest.fixture
def cut_short(workspace: Workspace) -> Path:
    folder = workspace.new_run("finetune")
    assert opened(workspace, folder) is None
    return folder


def test_a_run_says_what_it_began_with(workspace: Workspace, cut_short: Path) -> None:
    assert resume.settings_of(cut_short) == SETTINGS
    assert resume.start_of(cut_short) == begun(workspace).loaded.folder


def test_a_run_of_an_older_version_goes_on_without_averages_and_smaller_views(cut_short: Path) -> None:
    plan = json.loads((cut_short / resume.PLAN).read_text())
    assert plan["settings"].pop("average") == Settings.average > 0
    assert plan["settings"].pop("view_size") is None
    write_json(cut_short / resume.PLAN, plan)
    assert resume.settings_of(cut_short) == replace(SETTINGS, average=0.0, view_size=0)


def test_a_run_remembers_its_pace(workspace: Workspace) -> None:
    folder, pace = workspace.new_run("finetune"), Pace(1.1e-4, 3e-4, 7.5)
    resume.open_run(folder, replace(begun(workspace), settings=SETTINGS), "block9_add", (), pace)
    assert resume.pace_of(folder) == pace


def test_a_run_of_an_older_version_goes_on_at_the_optimizers_own_rate(cut_short: Path) -> None:
    plan = json.loads((cut_short / resume.PLAN).read_text())
    plan["settings"]["lr"] = None
    del plan["pace"]
    write_json(cut_short / resume.PLAN, plan)
    assert resume.pace_of(cut_short) == Pace(3e-4, 3e-4)
    for damaged in ({"rate": "fast", "usual": 3e-4}, {"rates": 1.0}):
        write_json(cut_short / resume.PLAN, plan | {"pace": damaged})
        with pytest.raises(UserError, match="the plan of an unfinished run"):
            resume.pace_of(cut_short)


def test_a_run_of_another_network_is_not_gone_on_with(workspace: Workspace, cut_short: Path) -> None:
    plan = json.loads((cut_short / resume.PLAN).read_text())
    write_json(cut_short / resume.PLAN, {name: each for name, each in plan.items() if name != "space"})
    assert opened(workspace, cut_short) is None  # of an earlier version
    write_json(cut_short / resume.PLAN, plan | {"space": "0" * 64})
    with pytest.raises(UserError, match="changed: space"):
        opened(workspace, cut_short)


def test_a_run_is_gone_on_with_from_its_checkpoint(workspace: Workspace, cut_short: Path) -> None:
    assert opened(workspace, cut_short) is None  # killed in the first epoch
    Checkpoint([EPOCH], [np.arange(3.0)], [], [], 0, []).save(cut_short / resume.CHECKPOINT)
    found = opened(workspace, cut_short)
    assert found is not None and found.epochs == [EPOCH] and found.weights[0].tolist() == [0, 1, 2]
    resume.close_run(cut_short)
    resume.close_run(cut_short)
    assert not (cut_short / resume.CHECKPOINT).exists() and opened(workspace, cut_short) is None


def test_another_border_is_refused(workspace: Workspace, cut_short: Path) -> None:
    with pytest.raises(UserError, match=r"has changed: border\. Run finetune without --resume"):
        opened(workspace, cut_short, "block8_add")


def test_changed_pictures_are_refused(workspace: Workspace, cut_short: Path) -> None:
    manifest = workspace.manifest("digits")
    train = begun(workspace).train
    manifest.label[train[0]] = (manifest.label[train[0]] + 1) % 3
    workspace.save_manifest("digits", manifest)
    with pytest.raises(UserError, match="has changed: fit, val"):
        opened(workspace, cut_short)


def test_another_head_is_refused(workspace: Workspace, cut_short: Path) -> None:
    headed(workspace, "centroid", accuracy=1.0)
    with pytest.raises(UserError, match="has changed: head_sha256"):
        opened(workspace, cut_short)


def test_settings_that_changed_are_no_matter_of_the_plan(workspace: Workspace, cut_short: Path) -> None:
    """They come from the plan itself, which is written once."""
    before = (cut_short / resume.PLAN).read_bytes()
    resume.open_run(cut_short, begun(workspace), "block9_add")
    assert (cut_short / resume.PLAN).read_bytes() == before


def test_the_newest_unfinished_run_is_found(workspace: Workspace) -> None:
    with pytest.raises(UserError, match=r"unfinished finetune run .*found none"):
        resume.unfinished(workspace, None)
    made = {}
    for name in (
        "007-finetune",
        "030-finetune",
        "998-finetune",
        "1001-finetune",
        "1002-finetune",
        "1003-fit-head",
    ):
        made[name] = workspace.runs / name
        made[name].mkdir()
        (made[name] / resume.PLAN).write_text("{}")
    (workspace.runs / "1004-finetune").mkdir()  # killed before it began
    (made["1002-finetune"] / "run.json").write_text("{}")
    assert resume.unfinished(workspace, None) == made["1001-finetune"]
    (made["1001-finetune"] / "run.json").write_text("{}")
    assert resume.unfinished(workspace, None) == made["998-finetune"]
    assert resume.unfinished(workspace, str(made["007-finetune"])) == made["007-finetune"]
    with pytest.raises(UserError, match="which is finished"):
        resume.unfinished(workspace, str(made["1002-finetune"]))
    with pytest.raises(UserError, match=r"plan\.json of an unfinished finetune run"):
        resume.unfinished(workspace, str(workspace.runs / "1004-finetune"))


def test_runs_that_moved_find_their_head_beside_them(workspace: Workspace, cut_short: Path) -> None:
    moved = workspace.root.parent / "elsewhere"
    shutil.move(workspace.runs, moved)
    head = resume.start_of(moved / cut_short.name)
    assert head.parent == moved and (head / "head.joblib").exists()


def test_a_damaged_plan_is_refused(workspace: Workspace, cut_short: Path) -> None:
    path = cut_short / resume.PLAN
    path.write_bytes(path.read_bytes()[:40])
    for ask in (resume.settings_of, resume.start_of, lambda folder: opened(workspace, folder)):
        with pytest.raises(UserError, match=r"Expected the plan .* but: .*Run finetune without --resume"):
            ask(cut_short)


@pytest.mark.parametrize("mirrored", [None, Mirrored(True, 0.75, 0.7, 0.375, 0.4, 60)])
@pytest.mark.parametrize("enlarged", [None, Enlarged(48, [Sized(32, 0.7, 0.4), Sized(48, 0.7, 0.375)], 60)])
def test_what_was_chosen_is_kept(
    cut_short: Path, mirrored: Mirrored | None, enlarged: Enlarged | None
) -> None:
    assert resume.chosen(cut_short) is None
    first = Epoch(0, float("nan"), float("nan"), 0.6, 0.7, 0.0, 0.0, 0.5)
    line = [Interpolation(0.0, 0.7, 0.6, 0.5), Interpolation(0.4, 0.75, 0.4, 0.375)]
    history = History([first, EPOCH], 1, line, 0.4, 60, 5)
    logits = np.random.default_rng(0).normal(size=(60, 3))
    resume.keep_chosen(cut_short, Chosen(history, 1.23456789, logits, mirrored, enlarged, ["stopped"]))
    kept = json.loads((cut_short / resume.CHOSEN).read_text())
    found = resume.chosen(cut_short) or pytest.fail("nothing was kept")
    assert np.array_equal(found.logits, logits)
    assert found.temperature == 1.23456789 and repr(found.history) == repr(history)
    assert found.history.epochs[1] == EPOCH and list(found.history.line) == line
    assert found.mirrored == mirrored and found.enlarged == enlarged and found.notes == ["stopped"]
    del kept["enlarged"]  # as an older version wrote it
    write_json(cut_short / resume.CHOSEN, kept)
    assert getattr(resume.chosen(cut_short), "enlarged", "nothing") is None


def test_a_part_and_all_pictures_have_checkpoints_of_their_own(workspace: Workspace) -> None:
    """One that is killed right after it chose does not go on with the epochs of the part."""
    folder, again = workspace.new_run("finetune"), replace(SETTINGS, refit=True)
    start = replace(begun(workspace), settings=again)
    resume.open_run(folder, start, "block9_add")
    of_part = resume.checkpoint(folder, again)
    Checkpoint([EPOCH], [np.arange(3.0)], [], [], 0, []).save(of_part)
    assert resume.open_run(folder, start, "block9_add") is not None
    history = History([EPOCH], 1, [Interpolation(1.0, 0.75, 0.4, 0.375)], 1.0, 60)
    resume.keep_chosen(folder, Chosen(history, 1.0, np.zeros((60, 3))))
    assert resume.open_run(folder, start, "block9_add") is None
    assert resume.checkpoint(folder, again) == resume.checkpoint(folder, SETTINGS) != of_part
    resume.close_run(folder)
    assert not of_part.exists()
