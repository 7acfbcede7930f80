"""Heads on several networks, and on parts of their rows: one model with all of them inside."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from cache.errors import UserError
from cache.space import Space
from cache.workspace import Workspace
from classify.commands.export.command import export
from classify.commands.export.formats import FORMATS
from classify.commands.predict.command import predict
from classify.heads.fitting.scaling import LengthScaler
from classify.heads.table import HEADS
from classify.models.model_file import load_model
from classify.runs.head_file import load_head
from classify.runs.inputs import Input
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.settings import Decoding, Options
from tests.classify.several import fit, prepare

KINDS = ["keras", "savedmodel", "tflite", "onnx", "saved-head"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[Space]]:
    folder = tmp_path_factory.mktemp("several")
    return Workspace(folder / ".coldframe"), prepare(folder, per_class=12, pooling="stages")


@pytest.fixture(autouse=True)
def no_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the run through Keras: to convert three networks for LiteRT takes a minute, and adds nothing."""
    monkeypatch.setattr("extract.embedding.extractor.choose_engine", lambda asked, backbone, note: "keras")


@pytest.fixture(scope="module")
def run(prepared: tuple[Workspace, list[Space]]) -> Path:
    """A head on all of one network, the top of the second and the first stage of the third."""
    workspace, (low, mid, top) = prepared
    inputs = [Input(mid, ("top",)), Input(low, ("stage1", "top")), Input(top, ("stage1",))]
    assert [each.width(0) for each in inputs] == [9, 14, 6]
    scaler = LengthScaler((9, 6, 8, 6))
    return fit(workspace, inputs, make=lambda: HEADS["logreg"].make().set_params(scale=scaler))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_answers_as_the_run(
    prepared: tuple[Workspace, list[Space]], run: Path, kind: str, tmp_path: Path
) -> None:
    for package in FORMATS[kind].needs:
        pytest.importorskip(package)
    result = export(prepared[0], run, kind, tmp_path / FORMATS[kind].name)
    assert result.tolerance == 1e-3 and result.max_difference < 1e-4 and result.agreement == 1
    takes = {
        "saved-head": "(B, D) float32 embeddings",
        "keras": "(B, h, w, 3) uint8 RGB of any size",
        "savedmodel": "(B, h, w, 3) uint8 RGB of any size",
    }
    both = "square_40 (1, 40, 40, 3), square_32 (1, 32, 32, 3) uint8 RGB, cut and resized beforehand"
    assert result.takes == takes.get(kind, both)


def test_the_model_takes_whole_pictures(
    prepared: tuple[Workspace, list[Space]], run: Path, tmp_path: Path
) -> None:
    workspace, _ = prepared
    export(workspace, run, "keras", tmp_path / "whole.keras")
    artefact = load_model(tmp_path / "whole.keras")
    assert [each["parts"] for each in artefact.facts["inputs"]] == [["top"], ["stage1", "top"], ["stage1"]]
    pictures = sorted((workspace.root.parent / "stripes").glob("*/*.png"))
    pixels = np.stack([np.asarray(Image.open(picture)) for picture in pictures])
    answers = predict(workspace, pictures, run=str(run), options=Options(engine="keras"))
    found = artefact.probabilities(pixels).max(axis=1)
    assert np.abs(found - answers.predictions.probability[:, 0]).max() < 0.02
    again = predict(workspace, pictures, run=str(tmp_path / "whole.keras"))
    expected = answers.predictions
    assert (again.predictions.label[:, 0] == expected.label[:, 0]).all()
    np.testing.assert_allclose(again.predictions.probability[:, 0], expected.probability[:, 0], atol=1e-4)
    (inner,) = [layer for layer in artefact.model.layers if isinstance(layer, keras.Model)]
    assert [each.name for each in inner.inputs] == ["square_40", "square_32"]


def test_a_saved_head_takes_the_rows_side_by_side(
    prepared: tuple[Workspace, list[Space]], run: Path, tmp_path: Path
) -> None:
    workspace, (low, mid, top) = prepared
    result = export(workspace, run, "saved-head", tmp_path / "head.keras")
    data = workspace.load(space=f"{mid.id},{low.id},{top.id}")
    columns = {
        (block.space, block.part): data.embedding[:, block.start : block.stop] for block in data.blocks
    }
    taken = [(mid, "top"), (low, "stage1"), (low, "top"), (top, "stage1")]
    X = np.hstack([columns[each] for each in taken])
    found = load_model(tmp_path / "head.keras").model.predict(X, verbose=0)
    np.testing.assert_allclose(found, load_head(workspace, run).head.predict_proba(X), atol=1e-4)
    assert any(f"space {mid.id[:12]} (top), " in note for note in result.caveats)


def test_one_network_twice(prepared: tuple[Workspace, list[Space]], tmp_path: Path) -> None:
    workspace, (low, *_) = prepared
    file = workspace.root.parent / "low.keras"
    backbone = Backbone.of(f"keras:{file}", pooling="max", preprocessing="unit")
    done = extract(
        workspace, workspace.root.parent / "stripes", backbone, Decoding("pad"), Options(engine="keras")
    )
    other = workspace.store_by_id(done.space).space
    result = export(
        workspace, fit(workspace, [Input(low), Input(other)]), "tflite", tmp_path / "twice.tflite"
    )
    assert result.max_difference < 1e-4 and "square_32_pad (1, 32, 32, 3)" in result.takes


def test_a_space_without_its_network(
    prepared: tuple[Workspace, list[Space]], run: Path, tmp_path: Path
) -> None:
    workspace, (_, mid, _) = prepared
    store = workspace.store_by_id(mid.id)
    origin = store.origin()
    store.record_origin(model="keras:/nowhere/mid.keras")
    try:
        with pytest.raises(UserError, match=r"received /nowhere/mid\.keras, which is not there"):
            export(workspace, run, "keras", tmp_path / "model.keras")
    finally:
        store.record_origin(model=origin["model"])
    assert not list(tmp_path.iterdir())
