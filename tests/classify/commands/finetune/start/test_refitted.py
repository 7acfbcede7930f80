"""A head on more than one network's plain rows is fitted again on those, and what that changes is told."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone

from cache.errors import UserError
from cache.manifest import Manifest
from cache.space import TOP, Space
from cache.workspace import Workspace
from classify.commands.finetune.start import rows
from classify.commands.finetune.start.head import head_of
from classify.commands.finetune.start.rows import check_there
from classify.commands.finetune.start.start import Start, begin
from classify.commands.fit_head.options import FitOptions
from classify.data.division import divide
from classify.data.labelled import Columns
from classify.data.splits import TRAIN
from classify.heads.calibration import CalibratedHead
from classify.heads.fitting.fitters import fit_weighted
from classify.heads.search import SearchOptions, search
from classify.heads.table import HEADS
from classify.models.linear import fold
from classify.runs.head_file import save_head
from classify.runs.inputs import Input, inputs_of, to_record
from classify.training.settings import Settings
from extract.backbones.backbone import Backbone
from extract.backbones.calibration import Calibration
from extract.pictures.augmentation import each_view
from extract.pictures.policies import Views
from tests.classify.samples import SPACE, make_manifest

N = 120
STAGED = replace(SPACE, backbone="net_0", pooling="stages:6+8")
OTHER = replace(SPACE, backbone="net_1")
WHOLE = {STAGED: Columns("", ((0, 14),)), OTHER: Columns("", ((14, 19),))}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Three classes: the stage tells them apart well, the top and the other network less so."""
    random, label = np.random.default_rng(0), np.arange(N) % 3
    rows = random.standard_normal((N, 19)).astype(np.float32)
    for start, strength in ((0, 3.0), (6, 1.5), (14, 1.0)):
        rows[:, start : start + 3] += strength * (label[:, None] == np.arange(3))
    manifest = make_manifest(label, ("a", "b", "c"))
    workspace = Workspace(tmp_path / ".coldframe").create()
    workspace.save_manifest("letters", manifest)
    for space, columns in WHOLE.items():
        workspace.store(space).add(manifest.key, columns.of(rows))
    workspace.remember(dataset="letters", space=f"{STAGED.id},{OTHER.id}")
    return workspace


def headed(
    workspace: Workspace, inputs: Sequence[Input], model: str = "ridge", options: FitOptions | None = None
) -> Path:
    """Leave a head on these inputs as `fit-head` does."""
    given = options or FitOptions(folds=3)
    data = workspace.load(space=",".join(each.space.id for each in inputs))
    asked = {name: getattr(given, name) for name in ("test_size", "seed", "group_by", "class_weight")}
    division = divide(workspace, data, shares=given.split, **asked)
    start, spans = 0, []
    for each, store in zip(inputs, data.stores, strict=True):
        width = store.shards()[0].shape[-1]
        spans += [(start + i, start + i + 1) for i in np.arange(width)[each.columns]]
        start += width
    columns = Columns("", tuple(spans))
    pipeline = fit_weighted(HEADS[model].make(), columns.of(division.X), division.y, None)
    run = workspace.new_run("fit-head")
    record = {
        "command": "fit-head",
        "parameters": asdict(given),
        "dataset": data.name,
        "data_sha256": division.sha256,
        "space": {"id": data.space.id, "json": data.space.to_json()},
        "inputs": to_record(inputs),
        "head": {"name": model, "cv_accuracy": 0.875, "params": {}},
    }
    save_head(run, CalibratedHead(pipeline, 0.7), record)
    return run


def begun(workspace: Workspace, run: Path) -> tuple[Start, list[str]]:
    lines: list[str] = []
    return begin(workspace, head_of(workspace, run, trust=False), Settings(), say=lines.append), lines


def test_a_head_on_stages_is_fitted_again_on_the_top(workspace: Workspace) -> None:
    run = headed(workspace, [Input(STAGED)])
    start, lines = begun(workspace, run)
    rows = workspace.store(STAGED).gather(workspace.manifest("letters").key)
    assert np.array_equal(start.data.embedding, rows[:, 6:]) and start.data.space == STAGED
    assert inputs_of(start.loaded.record) == (Input(STAGED, (TOP,)),)
    train = np.flatnonzero(start.division.split.part == TRAIN)
    data = replace(start.division, X=rows[train, 6:], choices=())
    expected = search(HEADS["ridge"], data, SearchOptions(folds=3))
    assert start.loaded.record["head"]["cv_accuracy"] == expected.cv_accuracy
    assert (
        start.loaded.record["head"]["sha256"] == head_of(workspace, run, trust=False).record["head"]["sha256"]
    )
    np.testing.assert_allclose(
        start.loaded.head.scores(rows[:, 6:]), CalibratedHead(expected.pipeline).scores(rows[:, 6:])
    )
    assert start.linear.kernel.shape == (8, 3)

    own = start.original
    assert own is not None and own.cv_accuracy == 0.875 and own.loaded.folder == run
    names, right = start.division.names, []
    for trial in start.trials:  # the run's own head knows nothing of what validates either
        head = clone(joblib.load(run / "head.joblib").pipeline).fit(rows[trial.fit], names[trial.fit])
        right.append(head.predict(rows[trial.val]) == names[trial.val])
        assert trial.linear.kernel.shape == (8, 3)
    assert own.val_accuracy == np.concatenate(right).mean() > start.floor
    (note,) = [note for note in start.notes if "CV 87.5%" in note]
    assert f"fitted again on net_0 (top), CV {expected.cv_accuracy:.1%} (n = {len(train)})" in note
    assert note in lines


@pytest.mark.parametrize("inputs", [[Input(STAGED, (TOP,))], [Input(OTHER)]], ids=["top", "plain"])
def test_a_head_on_plain_rows_of_one_network_starts_as_it_is(workspace: Workspace, inputs: list) -> None:
    start, _ = begun(workspace, headed(workspace, inputs))
    assert start.original is None and start.loaded.record["head"]["cv_accuracy"] == 0.875
    folded = fold(start.loaded.head)
    assert folded is not None and np.array_equal(start.linear.kernel, folded.kernel)
    assert start.data.embedding.shape[1] == len(folded.kernel)


@pytest.mark.parametrize("order", [(STAGED, OTHER), (OTHER, STAGED)])
def test_of_several_networks_the_best_starts(workspace: Workspace, order: tuple[Space, Space]) -> None:
    run = headed(workspace, [Input(space) for space in order], "centroid")
    start, lines = begun(workspace, run)
    assert start.data.space == STAGED and start.network.plain == Input(STAGED, (TOP,))
    assert start.network.taken == Input(STAGED)
    found = [line for line in lines if "cross-validated accuracy" in line]
    assert len(found) == 2 and any("net_1" in line for line in found)
    assert start.original is not None and start.original.division.X.shape[1] == 19


def test_parts_go_to_the_head_in_its_order(workspace: Workspace) -> None:
    inputs = [Input(OTHER), Input(STAGED, ("stage1",))]
    run = headed(workspace, inputs)
    start, _ = begun(workspace, run)
    own = start.original
    assert own is not None
    key = workspace.manifest("letters").key
    expected = np.hstack([workspace.store(OTHER).gather(key), workspace.store(STAGED).gather(key)[:, :6]])
    assert np.array_equal(own.division.data.embedding, expected)


def test_views_of_stages_give_those_of_the_top(workspace: Workspace) -> None:
    views, key = Views(1, "flip"), workspace.manifest("letters").key
    (view,) = each_view(views)
    rows = workspace.store(STAGED).gather(key)
    workspace.store(replace(STAGED, view=view.name)).add(key, rows + 100)
    start, _ = begun(workspace, headed(workspace, [Input(STAGED)], options=FitOptions(folds=3, views=views)))
    found = start.division.views
    train = np.flatnonzero(start.division.split.part == TRAIN)
    assert found is not None and np.array_equal(found, np.stack([rows[train, 6:], rows[train, 6:] + 100]))


def test_a_head_of_the_users_own_keeps_its_setting(workspace: Workspace) -> None:
    run = headed(workspace, [Input(STAGED)])
    (run / "head.h5").unlink()  # which only heads of the table have
    loaded = head_of(workspace, run, trust=False)
    loaded.record["head"]["name"] = "mine:make"
    start = begin(workspace, loaded, Settings(), say=lambda line: None)
    assert start.loaded.head.pipeline[-1].get_params() == loaded.head.pipeline[-1].get_params()
    assert start.loaded.head.n_features_in_ == 8


@pytest.mark.parametrize("whole", [True, False], ids=["of every stage", "plain"])
@pytest.mark.parametrize("there", [True, False], ids=["rows of every stage in floats are there", "none are"])
def test_of_a_network_in_integers_rows_in_floats_are_taken(
    workspace: Workspace, there: bool, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, embedded = workspace.manifest("letters").key, list[int]()
    exact = workspace.store(STAGED).gather(key)
    asked = STAGED if whole else replace(STAGED, pooling="avg")
    quantised = replace(asked, precision="int8 calibrated 00", weights="8" * 64)
    columns = slice(None) if whole else slice(6, None)
    workspace.store(quantised).add(key, np.round(exact[:, columns] * 8) / 8)
    run = headed(workspace, [Input(quantised)])
    if not there:
        shutil.rmtree(workspace.store(STAGED).folder)

    class Exact:
        space, backbone = asked, Backbone("net_0", "pretrained", 8)

        def embed_known(self, manifest: Manifest, todo: np.ndarray, progress: object) -> None:
            embedded.append(len(todo))
            workspace.store(asked).add(manifest.key[todo], exact[todo, columns])

    def extractor(workspace: Workspace, like: Space, backbone: Backbone, *_: object) -> Exact:
        pooling = "stages" if whole else "avg"
        assert (backbone.precision, backbone.pooling, backbone.calibration) == ("float32", pooling, None)
        return Exact()

    made = Backbone(
        "net_0", "pretrained", 8, "stages" if whole else "avg", "int8", calibration=Calibration({})
    )
    monkeypatch.setattr(rows, "backbone_of", lambda store, **_: made)
    monkeypatch.setattr(rows, "_extractor", extractor)
    start, _ = begun(workspace, run)
    assert embedded == ([] if there else [N])
    staged = there or whole
    assert start.network.plain == (Input(STAGED, (TOP,)) if staged else Input(asked))
    assert np.array_equal(start.data.embedding, exact[:, 6:])
    own = start.original
    assert own is not None and own.division.X.shape[1] == (14 if whole else 8)
    (note,) = [note for note in start.notes if "fitted again" in note]
    assert "net_0 in int8" in note
    if not whole:  # the very head that is tuned
        assert own.answering is None
        return
    assert own.answering is not None and own.answering.inputs == (Input(STAGED),)
    names, fit = start.division.names, start.trials[0].fit
    like = clone(joblib.load(run / "head.joblib").pipeline)
    found = CalibratedHead(like.fit(exact[fit], names[fit]), 0.7).predict_proba(exact[start.trials[0].val])
    np.testing.assert_allclose(own.validated[: len(found)], found, atol=1e-6)


def test_a_head_whose_networks_are_partly_gone_is_refused_with_what_to_run(workspace: Workspace) -> None:
    run = headed(workspace, [Input(STAGED), Input(OTHER)])
    loaded = head_of(workspace, run, trust=False)
    loaded.record["root"] = "letters here"
    with pytest.raises(UserError, match="but net_0 is gone or another"):  # these networks never were
        check_there(workspace, loaded)
    shutil.rmtree(workspace.store(OTHER).folder)
    with pytest.raises(
        UserError, match=r"of all 2 networks .* those of net_1 are gone\. Run .*extract 'letters here'"
    ):
        check_there(workspace, loaded)


def test_a_head_whose_only_network_is_gone_is_refused_likewise(workspace: Workspace) -> None:
    loaded = head_of(workspace, headed(workspace, [Input(OTHER)]), trust=False)
    shutil.rmtree(workspace.store(OTHER).folder)
    with pytest.raises(UserError, match=r"rows of the network .* those of net_1 are gone\. Run .*extract "):
        check_there(workspace, loaded)
