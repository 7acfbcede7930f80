"""A head on a network of 8-bit integers: a LiteRT file with the very network that gave its rows."""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.export.command import export
from classify.commands.export.formats import _litert, _open_tflite
from classify.commands.export.merging import merge
from classify.models.layers import build_rows_head
from classify.models.linear import LinearHead
from classify.runs.inputs import Input
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.engines.quantisation import measure, quantise
from extract.settings import Decoding, Options
from tests.classify.commands.finetune.conftest import write_pictures
from tests.classify.several import fit, write_network

SIZES = (32, 40, 32)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Three LiteRT files of small networks; the second is quantised."""
    folder, files = tmp_path_factory.mktemp("networks"), []
    for number, size in enumerate(SIZES):
        network = keras.models.load_model(write_network(folder / f"n{number}.keras", size, number))
        pixels = keras.Input((size, size, 3), dtype="uint8")
        x = network(keras.layers.Rescaling(1 / 255)(pixels))
        model = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(x))
        files.append(_litert(model, [keras.InputSpec("uint8", (None, size, size, 3), name="pixels")], []))
    files[1] = quantise(files[1], measure(files[1], pictures(20, 40)))
    return files


def pictures(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, (count, size, size, 3), np.uint8)


def row(file: bytes, picture: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=file)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]


def test_each_network_computes_as_in_its_own_file(networks: list[bytes], tmp_path: Path) -> None:
    columns = [None, [0, 2, 5], [9]]
    kernel = np.random.default_rng(0).normal(size=(8 + 3 + 1, 4)).astype(np.float32)
    linear = LinearHead("length", kernel, np.zeros(4, np.float32), tuple("abcd"), (8, 3, 1))
    head = build_rows_head([8, 9, 10], columns, linear)
    specs = [keras.InputSpec("float32", (1, width), name=f"row_{i}") for i, width in enumerate((8, 9, 10), 1)]
    names = [f"square_{size}" for size in SIZES]
    (tmp_path / "merged.tflite").write_bytes(
        merge(list(zip(names, networks, strict=True)), _litert(head, [specs], []))
    )
    ask = _open_tflite(tmp_path / "merged.tflite", ["square_32", "square_40"])
    for small, large in zip(pictures(5, 32), pictures(5, 40), strict=True):
        pixels = [small, large, small]
        rows = [row(file, picture) for file, picture in zip(networks, pixels, strict=True)]
        expected = head.predict_on_batch([each[None] for each in rows])
        np.testing.assert_allclose(ask([small, large]), np.asarray(expected)[0], atol=1e-6)


def test_a_network_with_a_branch_is_refused(networks: list[bytes]) -> None:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(networks[0]), 0))
    model.subgraphs *= 2
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(UserError, match="without branches or loops"):
        merge([("square", bytes(builder.Output()))], b"")


@pytest.mark.parametrize("bundled", [pytest.param(True, marks=pytest.mark.slow), False])
def test_an_int8_head_from_extract_to_export(bundled: bool, tmp_path: Path) -> None:
    workspace, folder = Workspace(tmp_path / ".coldframe"), write_pictures(tmp_path / "stripes", 3, 8)
    name = "efficientnet_lite0" if bundled else f"keras:{write_network(tmp_path / 'own.keras', 64, 0)}"
    spaces = []
    for pooling, precision in (("stages", "int8"), ("avg", "float32")):
        backbone = Backbone.of(name, input_size=64, pooling=pooling, precision=precision)
        done = extract(workspace, folder, backbone, Decoding(), Options(engine="litert"))
        spaces.append(workspace.store_by_id(done.space).space)
    run = fit(workspace, [Input(spaces[0], ("stage1",)), Input(spaces[1])])
    result = export(workspace, run, "tflite", tmp_path / "both.tflite")
    assert result.tolerance == 1e-3 and result.max_difference < 1e-5 and result.agreement == 1
    with zipfile.ZipFile(result.file) as archive:
        facts = json.loads(archive.read("coldframe.json"))
        assert facts["inputs"][0]["precision"].startswith("int8") and archive.read("labels.txt")
    assert export(workspace, run, "saved-head", tmp_path / "head.keras").max_difference < 1e-4
    for kind in ("keras", "savedmodel"):
        with pytest.raises(
            UserError,
            match=r"--to tflite \(or saved-head\).* --pooling stages --precision float32` and .*`fit-head`",
        ):
            export(workspace, run, kind, tmp_path / ("model.keras" if kind == "keras" else "model"))
    with pytest.raises(UserError, match="leave --int8 out"):
        export(workspace, run, "tflite", tmp_path / "again.tflite", int8=True)
