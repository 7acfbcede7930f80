"""Models from elsewhere through every command: extract, fit-head, predict, finetune, export."""

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import cli
from cache.workspace import Workspace
from classify.models.model_file import load_model
from extract.embedding.spaces import backbone_of
from tests.classify.commands.finetune.conftest import write_pictures

HEAD = ["fit-head", "--no-curve", "--folds", "3"]
TUNE = ["finetune", "--epochs", "1", "--views", "0", "--engine", "keras"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures of stripes, a cache of its own, and a small model trained on nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLDFRAME_WORKSPACE", raising=False)
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "cache"))
    # In parts of its own, or a fine-tune would train five folds.
    drawn = write_pictures(tmp_path / "drawn", per_class=8)
    for number, picture in enumerate(sorted(drawn.glob("*/*"))):
        part = tmp_path / "stripes" / ("train", "train", "val", "test")[number % 4] / picture.parent.name
        part.mkdir(parents=True, exist_ok=True)
        picture.rename(part / picture.name)
    return tmp_path


def small_model() -> keras.Model:
    keras.utils.set_random_seed(1)
    inner = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(8, 5, strides=2, name="low"),
            layers.ReLU(),
            layers.Conv2D(12, 3, strides=2, name="high"),
            layers.ReLU(name="last"),
        ],
        name="inner",
    )
    outer = [keras.Input((32, 32, 3)), inner, layers.GlobalAveragePooling2D(), layers.Dense(4)]
    return keras.Sequential(outer, name="own")


def run(*words: str) -> int:
    return cli.main([*words])


def test_a_savedmodel_from_extract_to_export(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keras.Model((m := small_model()).inputs[0], m.get_layer("inner")(m.inputs[0])).export(
        place / "exported", verbose=False
    )
    asked = ["--backbone", "savedmodel:exported", "--engine", "keras", "--preprocessing", "tf"]
    assert run("extract", "stripes", *asked, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["embedded"] == 24 and answer["backbone"].startswith("savedmodel:")
    data = Workspace.locate().load()
    assert data.embedding.shape == (24, 12) and data.space.preprocessing == "x / 127.5 - 1"
    assert backbone_of(data.store).location == f"savedmodel:{place / 'exported'}"
    assert run(*HEAD) == 0
    assert run("predict", "stripes", "--engine", "keras") == 0
    assert run(*TUNE) == 1
    assert "Expected a network that shows its layers" in capsys.readouterr().err
    assert run("export", "--to", "keras") == 1
    assert "can only name the folder of a SavedModel" in capsys.readouterr().err
    assert run("export", "--to", "savedmodel", "--out", "out") == 0
    shutil.rmtree(place / "exported")
    assert run("predict", "stripes", "--engine", "keras") == 1
    assert "exported, which is not there" in capsys.readouterr().err


def test_a_keras_file_from_extract_to_a_fine_tune(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_model().save(place / "own.keras")
    asked = ["--backbone", "keras:own.keras", "--engine", "keras", "--preprocessing", "unit"]
    assert run("extract", "stripes", *asked, "--pooling", "layer:last") == 0
    assert Workspace.locate().load().space.pooling == "avg@last"
    assert run(*HEAD) == 0
    assert run(*TUNE, "--top", "2", "--optimizer", "sgd", "--lr", "0.01") == 0
    told = capsys.readouterr()
    assert "border after re_lu" in told.err and "hand-off: the network's logits equal" in told.err
    (made,) = (place / "runs").glob("*-finetune")
    record = json.loads((made / "run.json").read_text())
    assert (made / "model.keras").is_file() and record["command"] == "finetune"
    model = load_model(made / "model.keras")
    probability = model.probabilities(np.zeros((2, 40, 50, 3), np.uint8))
    assert probability.shape == (2, 3)
    keras.models.load_model("own.keras").save("own.keras")  # other bytes, the same network
    assert run("extract", "stripes", *asked, "--pooling", "layer:last", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["cached"] == 24
    other = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(3, 3, name="last")])
    other.save(place / "own.keras")
    again = ["predict", "stripes", "--run", str(next((place / "runs").glob("*-fit-head")))]
    assert run(*again) == 1
    assert "named before, its files unchanged since; received keras:" in capsys.readouterr().err
    assert run(*again, "--trust") == 1
    assert "where it was, received keras:" in capsys.readouterr().err


def test_a_preset_can_be_fine_tuned(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub: Any = pytest.importorskip("keras_hub", reason="the extra kerashub is not installed")
    model = hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16
    )
    model.save_to_preset("vit")
    asked = ["--backbone", "kerashub:vit", "--engine", "keras", "--preprocessing", "tf"]
    assert run("extract", "stripes", *asked) == 0
    assert run(*HEAD) == 0
    assert run(*TUNE, "--all") == 0
    assert "no border, the whole network runs; 2 layers" in capsys.readouterr().err
    (made,) = (place / "runs").glob("*-finetune")
    assert run("predict", "stripes", "--run", str(made)) == 0
