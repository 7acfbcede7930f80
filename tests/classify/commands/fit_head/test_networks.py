"""Several networks in one head: synthetic rows in three spaces, of which each tells other classes apart."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pytest

from cache.errors import UserError
from cache.space import Space
from cache.workspace import Workspace
from classify.commands.fit_head import command, record, report
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitHeadOptions, FitOptions
from classify.commands.fit_head.result import FitResult
from classify.heads import frontier
from classify.runs import predictions
from classify.runs.folder import best_run
from classify.runs.head_file import load_head
from classify.runs.inputs import inputs_of
from classify.runs.record import record_of
from classify.runs.standing import Standing
from classify.runs.summary import runs_of
from extract.pictures.policies import Views
from tests.classify.samples import SPACE, make_manifest

CLASSES = ("a", "b", "c", "d")
N = 200


def space(name: str, **changed: Any) -> Space:
    return replace(SPACE, backbone=name, **changed)


STAGED = space("net_0", pooling="stages:6+8")
SECOND, THIRD = space("net_1"), space("net_2")


@pytest.fixture
def workspace(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Three networks: what class a picture has, two of them see half of, and the third nothing."""
    for module, figure in (
        (record, "mistakes_png"),
        (report, "reliability_png"),
        (report, "frontier_png"),
        (predictions, "confusion_png"),
    ):
        monkeypatch.setattr(module, figure, lambda *_: b"")
    costs = {"net_0": 2.0, "net_1": 3.0, "net_2": 1.0, "net_3": 3.0}
    monkeypatch.setattr(frontier, "cost_in", lambda workspace, store, *_: costs[store.space.backbone])
    random = np.random.default_rng(0)
    label = np.arange(N) % 4
    first, second = (0.7 * random.standard_normal((2, N, 14))).astype(np.float32)
    first[:, 2:6] += 4 * (label // 2 == np.array([0, 1, 0, 1])[:, None]).T  # in its stage, and not in its top
    second[:, :4] += 4 * (label % 2 == np.array([0, 1, 0, 1])[:, None]).T
    manifest = make_manifest(label, CLASSES)
    workspace = Workspace(tmp_path / ".coldframe").create()
    workspace.save_manifest("letters", manifest)
    rows = (STAGED, first), (SECOND, second[:, :9]), (THIRD, random.standard_normal((N, 5), np.float32))
    for each, found in rows:
        workspace.store(each).add(manifest.key, found)
    workspace.remember(dataset="letters", space=",".join(each.id for each, _ in rows))
    return workspace


def fit(workspace: Workspace, *models: str, **options: Any) -> FitResult:
    asked = {key: options.pop(key) for key in ("space", "dataset") if key in options}
    chosen = FitOptions(models=models or ("ridge",), **{"curve": False, **options})
    return fit_heads(workspace, chosen, **asked)


def test_the_networks_that_help_are_found_and_the_head_takes_what_it_needs(workspace: Workspace) -> None:
    result = fit(workspace)
    found = result.networks
    assert found is not None and found.best.networks == ("net_0", "net_1") and found.best.parts == "all"
    sets = [each.networks for each in found.tried]
    assert sets[:3] == [("net_0",), ("net_1",), ("net_2",)] and len(sets) == 6 and len(sets[5]) == 3
    assert [each.milliseconds for each in found.tried[:3]] == [2.0, 3.0, 1.0]
    assert found.best.milliseconds == 5.0 and found.best.accuracy > 0.95 > 0.7 > found.tried[0].accuracy

    record = record_of(result.run)
    assert [(each.space, each.parts) for each in inputs_of(record)] == [
        (STAGED, ("stage1", "top")),
        (SECOND, ()),
    ]
    assert record["space"]["id"] == record["divided_in"] == STAGED.id
    assert result.heads[0].params["parts"] == "all" and result.heads[0].evaluation.accuracy > 0.9

    # The kept head takes exactly its columns, and answers as it was tested.
    assert "parts" not in dict(joblib.load(result.run / "head.joblib").pipeline.steps)
    head = load_head(workspace, result.run).head
    assert head.n_features_in_ == 23
    data = workspace.load(space=f"{STAGED.id},{SECOND.id}")
    tested = [data.manifest.paths.index(path) for path in read_paths(result.run)]
    truth = np.array(CLASSES)[data.manifest.label[tested]]
    assert (head.predict(data.embedding[tested]) == truth).mean() == result.heads[0].evaluation.accuracy


def read_paths(run) -> list[str]:
    return [line.split(",")[0] for line in (run / "predictions.csv").read_text().splitlines()[1:]]


def test_what_is_shown_and_remembered_of_several_networks(workspace: Workspace) -> None:
    result = fit(workspace)
    shown = result.to_text()
    assert "net_0 + 1 " in shown and "parts=all" in shown
    assert (
        "the most accurate networks, which the heads use: net_0 + 1, " in shown
        and "5.0 ms a picture" in shown
    )
    page = (result.run / "report.md").read_text()
    assert "## Networks" in page and "(frontier.png)" in page and (result.run / "frontier.png").exists()
    assert r"- Best head uses: net\_0 (stage1, top) and net\_1" in page
    networks = result.to_json()["networks"]
    assert networks == json.loads((result.run / "report.json").read_text())["networks"]
    assert networks["best"] == ["net_0", "net_1"] and networks["sets"][0]["n"] == 160
    state = workspace.state()
    assert state["space"] == ",".join(each.id for each in (STAGED, SECOND, THIRD))  # again the same, unasked
    assert state["run"]["space"] == f"{STAGED.id},{SECOND.id}" and best_run(workspace) == result.run
    (line,) = runs_of(workspace)
    assert line.model == "ridge on net_0 + 1"
    assert str(Standing.of(result.run, record_of(result.run))).startswith(
        f"{result.run.name} (ridge on letters"
    )


def test_the_parts_can_be_named(workspace: Workspace) -> None:
    one = fit(workspace, space=STAGED.id, parts="top")
    assert one.networks is None and "parts" not in one.heads[0].params
    assert inputs_of(record_of(one.run))[0].parts == ("top",)
    assert load_head(workspace, one.run).head.n_features_in_ == 8
    every = fit(workspace, space=STAGED.id, parts="all")
    assert inputs_of(record_of(every.run))[0].parts == ("stage1", "top")
    assert every.heads[0].cv_accuracy > one.heads[0].cv_accuracy
    auto = fit(workspace, space=STAGED.id)
    assert auto.heads[0].params["parts"] == "all" and auto.heads[0].cv_accuracy == every.heads[0].cv_accuracy
    with pytest.raises(UserError, match="Expected --parts auto, top or all, received 'none'"):
        fit(workspace, parts="none")


def test_one_space_divides_alike_with_and_without_its_stages(workspace: Workspace) -> None:
    parts = {name: read_paths(fit(workspace, space=STAGED.id, parts=name).run) for name in ("top", "all")}
    assert parts["top"] == parts["all"] == read_paths(fit(workspace).run)


def test_each_head_of_a_leaderboard_has_its_own_parts(workspace: Workspace) -> None:
    result = fit(workspace, "ridge", "centroid", "svm-linear", curve=True)
    assert {each.params["parts"] for each in result.heads} <= {"top", "all"}
    assert len(result.heads) == 3
    for each in result.heads:
        assert each.evaluation.n == 40


def test_a_space_that_lacks_pictures_leaves_them_out_and_names_the_command(workspace: Workspace) -> None:
    manifest = workspace.manifest("letters")
    less = replace(SECOND, backbone="net_3")
    rows = workspace.store(SECOND).gather(manifest.key)
    workspace.store(less).add(manifest.key[20:], rows[20:])
    result = fit(workspace, space=f"{STAGED.id},{less.id}")
    assert result.heads[0].evaluation.n == 36
    (said,) = [note for note in result.notes if note.startswith("left out")]
    assert "left out: 20 files of letters" in said
    assert "20 files by `python cli.py extract /pictures --backbone net_3 --pooling none`" in said


def test_where_too_few_have_rows_of_each_space_the_command_for_the_others_is_named(
    workspace: Workspace,
) -> None:
    manifest = workspace.manifest("letters")
    less = replace(SECOND, backbone="net_3")
    workspace.store(less).add(manifest.key[::4], workspace.store(SECOND).gather(manifest.key)[::4])
    named = (
        r"left out: 150 files of letters, .* 150 files by `python cli.py extract /pictures --backbone net_3"
    )
    with pytest.raises(UserError, match=r"at least two classes .* " + named):
        fit(workspace, space=f"{STAGED.id},{less.id}")


def test_networks_are_named_in_place_of_spaces(workspace: Workspace) -> None:
    def run(*names: str, **more: Any) -> FitResult:
        options = FitHeadOptions(
            workspace=workspace.root,
            backbones=names,
            no_curve=True,
            fit=FitOptions(models=("ridge",)),
            **more,
        )
        return command.run(options, lambda line: None)

    result = run("net_1", "net_0")
    assert [each.space for each in inputs_of(record_of(result.run))] == [SECOND, STAGED]
    assert run("net_1").networks is None
    with pytest.raises(
        UserError, match=r"by net_9, found none.*net_0, net_1.*extract /pictures --backbone net_9`"
    ):
        run("net_1", "net_9")
    with pytest.raises(UserError, match="Expected --backbone or --space"):
        run("net_1", space=STAGED.id)
    whole = replace(STAGED, pooling="avg")
    manifest = workspace.manifest("letters")
    workspace.store(whole).add(manifest.key[:9], np.ones((9, 8), np.float32))
    with pytest.raises(UserError, match=rf"found 2: .*{whole.id[:12]} \(net_0 avg\).*with --space") as error:
        run("net_0", "net_1")
    assert f"{STAGED.id[:12]} (net_0 stages)" in str(error.value)


def test_a_network_that_cannot_be_timed_is_told_of(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(workspace: Workspace, store: Any, *_: Any) -> float:
        if store.space == SECOND:
            raise UserError("it is gone")
        return 1.0

    monkeypatch.setattr(frontier, "cost_in", refuse)
    result = fit(workspace)
    assert "the cost of net_1 is not known: it is gone" in result.notes
    assert result.networks is not None
    assert [each.milliseconds for each in result.networks.tried[:3]] == [1.0, None, 1.0]


def test_networks_are_chosen_on_the_training_part_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, original = list[int](), frontier.search_rows

    def spy(head: Any, data: Any, how: Any) -> Any:
        seen.append(len(data.y))
        return original(head, data, how)

    monkeypatch.setattr(frontier, "search_rows", spy)
    assert fit(workspace).heads[0].evaluation.n == 40
    assert seen == [160] * 6


def test_ctrl_c_while_networks_are_compared_ends_the_command(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = frontier.search_rows

    def stopped(head: Any, data: Any, how: Any) -> Any:  # after its first settings were complete
        return replace(original(head, data, how), interrupted=True)

    monkeypatch.setattr(frontier, "search_rows", stopped)
    with pytest.raises(KeyboardInterrupt):
        fit(workspace)
    assert not workspace.runs.exists()


def test_views_are_made_for_the_networks_that_are_used_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def augment(workspace: Workspace, data: Any, rows: np.ndarray, views: Views, **_: Any) -> Any:
        asked.append(data.spaces)

        def gather(plain: np.ndarray, key: np.ndarray) -> np.ndarray:
            return np.stack([plain, 1.01 * plain])

        return SimpleNamespace(
            gather=gather, rejected=3 * (data.space == SECOND), rows=160, to_text=lambda: "all"
        )

    monkeypatch.setattr("classify.data.views.augment", augment)
    said: list[str] = []
    result = fit_heads(
        workspace, FitOptions(models=("ridge",), curve=False, views=Views(1, "flip")), on_progress=said.append
    )
    assert asked == [(STAGED,), (SECOND,)]
    assert any("train, too in net_0: all" in line for line in said)
    assert any(note.startswith("3 of 160 views in net_1 could not be made") for note in result.notes)
    assert load_head(workspace, result.run).head.n_features_in_ == 23
    assert result.heads[0].evaluation.accuracy > 0.9
