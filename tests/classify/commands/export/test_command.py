import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.export import command
from classify.commands.export.command import ExportResult, export
from classify.commands.export.formats import FORMATS
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.models.model_file import load_model, save_model
from classify.runs.folder import write_json
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.pictures.decoding import decode
from extract.settings import Decoding, Options

SIZE = 64


@pytest.fixture(scope="module")
def workspace(flowers: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Twelve photographs of each of three classes, and the runs 001 (logreg), 002 (svm) and 003 (knn) on them.

    By a small network, whose file is mostly weights all the same; `test_the_bundled_network_too` has a large one.
    """
    folder = tmp_path_factory.mktemp("exports")
    for label in ("daisy", "rose", "tulip"):
        (folder / "flowers" / label).mkdir(parents=True)
        for picture in sorted((flowers / label).iterdir())[:12]:
            shutil.copy2(picture, folder / "flowers" / label)
    keras.utils.set_random_seed(0)
    parts = [keras.layers.Conv2D(n, 5, strides=4, padding="same", activation="relu") for n in (32, 96)]
    keras.Sequential([keras.Input((SIZE, SIZE, 3)), *parts]).save(folder / "small.keras")
    backbone = Backbone.of(f"keras:{folder / 'small.keras'}", pooling="avg", preprocessing="unit")
    return fitted(folder, backbone, "logreg", "svm", "knn")


def fitted(folder: Path, backbone: Backbone, *names: str) -> Workspace:
    """A workspace with a run of each of these heads on the pictures in `folder`."""
    workspace = Workspace(folder / ".coldframe")
    extract(workspace, folder / "flowers", backbone, Decoding(), Options())
    for name in names:
        fit_heads(workspace, FitOptions(models=[name], folds=3, n_jobs=1, curve=False))
    return workspace


def run_of(workspace: Workspace, number: str) -> Path:
    return next(workspace.runs.glob(f"{number}-*"))


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(".tmp-")]


@pytest.fixture(scope="module")
def exported(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ExportResult]:
    """Export run 001 to a kind, once, over something older."""
    folder = tmp_path_factory.mktemp("exported")

    @cache
    def exported(kind: str) -> ExportResult:
        for package in FORMATS[kind].needs:
            pytest.importorskip(package)
        target = folder / kind / FORMATS[kind].name
        if kind == "savedmodel":
            target.mkdir(parents=True)
            (target / "older").touch()
        said: list[str] = []
        result = export(workspace, run_of(workspace, "001"), kind, target, force=True, say=said.append)
        assert said and not leftovers(target.parent) and not (target / "older").exists()
        return result

    return exported


@pytest.fixture(scope="module")
def tuned(workspace: Workspace, exported: Callable[[str], ExportResult]) -> Path:
    """A run as finetune leaves it; its model is the one of 001."""
    folder = workspace.runs / "004-finetune"
    folder.mkdir()
    made = load_model(exported("keras").file)
    shutil.copy2(run_of(workspace, "001") / "predictions.csv", folder)
    facts = {key: value for key, value in made.facts.items() if key not in ("space", "inputs", "run")}
    sha256 = save_model(made.model, folder / "model.keras", facts)
    first = json.loads((run_of(workspace, "001") / "run.json").read_text())
    record = {key: first[key] for key in ("format", "dataset", "root")}
    write_json(
        folder / "run.json",
        record | {"command": "finetune", "model": {"file": "model.keras", "sha256": sha256}},
    )
    return folder


@pytest.mark.parametrize("kind", ["keras", "savedmodel", "tflite", "onnx", "saved-head"])
def test_each_kind_answers_as_the_run(
    workspace: Workspace, exported: Callable[[str], ExportResult], kind: str
) -> None:
    result = exported(kind)
    assert result.file.exists()
    assert result.max_difference < 1e-4 and result.tolerance == 1e-3
    assert result.n >= 6 and result.part == "test" and result.agreement == 1
    assert result.bytes > 1000 and result.milliseconds > 0
    assert json.loads(json.dumps(result.to_json()))["kind"] == kind and str(result.file) in result.to_text()
    with pytest.raises(UserError, match="--force"):
        export(workspace, run_of(workspace, "001"), kind, result.file)


def test_classes_travel_with_it(exported: Callable[[str], ExportResult]) -> None:
    assert load_model(exported("saved-head").file).classes == ("daisy", "rose", "tulip")
    with zipfile.ZipFile(exported("tflite").file) as archive:
        assert archive.read("labels.txt") == b"daisy\nrose\ntulip"
        assert json.loads(archive.read("coldframe.json"))["input_size"] == SIZE


def test_a_saved_model_takes_whole_pictures(exported: Callable[[str], ExportResult], flowers: Path) -> None:
    import tensorflow as tf

    model = tf.saved_model.load(str(exported("savedmodel").file))
    data = next((flowers / "daisy").iterdir()).read_bytes()
    whole = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    answers = [model.serve(tf.constant(x[None])).numpy() for x in (whole, decode(data, SIZE, Decoding()))]
    assert whole.shape[0] > SIZE and np.abs(answers[0] - answers[1]).max() < 0.01


def test_an_rbf_machine_becomes_layers(workspace: Workspace, tmp_path: Path) -> None:
    result = export(workspace, run_of(workspace, "002"), "saved-head", tmp_path / "head.keras")
    assert result.max_difference < 1e-3 and result.agreement == 1


def test_a_head_that_is_no_layer_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"received knn.*fit-head --model logreg"):
        export(workspace, run_of(workspace, "003"), "keras", tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())


def test_a_fine_tuned_run(workspace: Workspace, tuned: Path, tmp_path: Path) -> None:
    result = export(workspace, tuned, "saved-head", tmp_path / "head.keras")
    assert result.max_difference < 1e-4 and any("own network" in note for note in result.caveats)
    with pytest.raises(UserError, match="the run's own model"):
        export(workspace, tuned, "keras", tuned / "model.keras", force=True)
    changed = tmp_path / "changed"
    shutil.copytree(tuned, changed)
    with (changed / "model.keras").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(UserError, match=r"that run\.json describes"):
        export(workspace, changed, "tflite", tmp_path / "model.tflite")
    write_json(changed / "run.json", {"command": "finetune", "model": None, "start": {"run": "runs/001"}})
    with pytest.raises(UserError, match=r"export runs/001 instead"):
        export(workspace, changed, "tflite", tmp_path / "model.tflite")


def test_int8_says_what_it_costs(
    workspace: Workspace, exported: Callable[[str], ExportResult], tmp_path: Path
) -> None:
    run = run_of(workspace, "001")
    small = export(workspace, run, "tflite", tmp_path / "small.tflite", int8=True, sample=10)
    assert small.bytes < exported("tflite").bytes / 2 and small.tolerance is None and small.int8
    assert small.int8.calibrated_on == 10 and small.int8.n == small.n and small.int8.part == "test"
    assert small.int8.before == pytest.approx(accuracy(run)) and f"n = {small.n}" in small.to_text()
    with pytest.raises(UserError, match="--int8 with --to tflite"):
        export(workspace, run, "onnx", int8=True)
    dear = command._notes("tflite", None, "test", command.Quantised(0.9, 0.88, 500, "test", 10))
    assert any("cost 2.0% of accuracy" in note for note in dear)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "int8"), [("keras", False), ("savedmodel", False), ("tflite", True)])
def test_the_bundled_network_too(workspace: Workspace, kind: str, int8: bool, tmp_path: Path) -> None:
    shutil.copytree(workspace.root.parent / "flowers", tmp_path / "flowers")
    large = fitted(tmp_path, Backbone.of(input_size=SIZE), "logreg")
    result = export(large, run_of(large, "001"), kind, tmp_path / FORMATS[kind].name, int8=int8)
    assert int8 or (result.max_difference < 1e-4 and result.agreement == 1)


def accuracy(run: Path) -> float:
    return json.loads((run / "run.json").read_text())["head"]["test_accuracy"]


def test_an_export_that_answers_otherwise_does_not_appear(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = asdict(FORMATS["saved-head"]) | {
        "open": lambda path, names: lambda one: np.full(3, 1 / 3, np.float32)
    }
    monkeypatch.setitem(FORMATS, "saved-head", type(FORMATS["saved-head"])(**form))
    (tmp_path / "head.keras").write_bytes(b"older")
    with pytest.raises(UserError, match=r"received a difference of 0\.\d+ on \d+ pictures"):
        export(workspace, run_of(workspace, "001"), "saved-head", tmp_path / "head.keras", force=True)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]


def test_what_can_be_refused_at_once(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(workspace, "001")
    with pytest.raises(UserError, match="one of keras, savedmodel"):
        export(workspace, run, "coreml")
    with pytest.raises(UserError, match=r"ends in \.tflite"):
        export(workspace, run, "tflite", tmp_path / "model.bin")
    with pytest.raises(UserError, match=r"run\.json"):
        export(workspace, tmp_path, "keras")
    monkeypatch.setenv("COLDFRAME_STATE", str(tmp_path / "state"))
    shutil.copytree(run, older := tmp_path / "older")
    (older / "head.h5").unlink()
    with pytest.raises(UserError, match="--trust"):
        export(Workspace(tmp_path / "other").create(), older, "saved-head", tmp_path / "head.keras")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'coldframe\[onnx\]'"):
        export(workspace, run, "onnx")


def test_without_pictures_nothing_can_be_promised(workspace: Workspace, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_of(workspace, "001"), run)
    record = json.loads((run / "run.json").read_text()) | {"root": str(tmp_path / "gone")}
    write_json(run / "run.json", record)
    with pytest.raises(UserError, match="Put them back"):
        export(workspace, run, "saved-head", tmp_path / "head.keras")
