"""Every family of keras.applications, with random weights: what is extracted is what the family itself predicts.

The default run has a small one. `pytest -n 0 -m families` runs the others: an hour or more.
"""

import gc
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from extract.backbones.backbone import Backbone
from extract.backbones.families import FAMILIES, own_spelling
from extract.backbones.network import network_of
from extract.engines.choice import open_engine
from extract.engines.conversion import convert
from extract.engines.engine import KerasEngine

SMALLEST = "mobilenet_v2"
SLOW = [name for name, row in FAMILIES.items() if row.constructor and name != SMALLEST]
PICTURES = 3
# As Keras starts it, this one is chaotic: pixels that differ by 1e-7 of themselves move its rows by 0.8 of theirs.
CHAOTIC = "efficientnet_v2_l"


@pytest.mark.parametrize("name", [SMALLEST, *(pytest.param(n, marks=pytest.mark.families) for n in SLOW)])
def test_what_is_extracted_is_what_the_family_predicts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, size = FAMILIES[name], FAMILIES[name].smallest
    if name != SMALLEST:  # which others convert, too
        monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path))
    constructor = getattr(keras.applications, row.constructor)
    family = constructor(weights=None, include_top=False, input_shape=(size, size, 3), pooling="avg")
    backbone = Backbone.of(name, damped(family, tmp_path) if name == CHAOTIC else "none", size)
    pixels = photographs(size)
    engine = KerasEngine(backbone, PICTURES)
    assert (engine.network.dim, engine.network.parameters) == (row.dim, row.parameters)

    family.set_weights(network_of(engine._model).get_weights())
    own = sys.modules[constructor.__module__].preprocess_input(pixels.astype(np.float32))
    expected = family.predict(own, verbose=0)
    assert expected.shape == (PICTURES, row.dim) and np.isfinite(expected).all()
    # Pictures must make a difference, or any preprocessing would do.
    assert np.ptp(expected, axis=0).max() > 1e-3 * np.abs(expected).max()
    assert off(engine.embed(pixels), expected) < 1e-4
    del family, engine  # a large one must make room for its converter
    keras.backend.clear_session()
    gc.collect()

    network = convert(backbone)
    litert = open_engine("litert", backbone, network, PICTURES, lanes=1)
    assert off(litert.embed(pixels), expected) < 1e-4
    shutil.rmtree(tmp_path)  # up to 1.4 GB each


def damped(family: keras.Model, folder: Path) -> str:
    """Save weights with which the blocks add less to what goes past them."""
    for layer in family.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(0.9 * layer.gamma)
    family.save_weights(folder / "damped.weights.h5")
    return str(folder / "damped.weights.h5")


def photographs(size: int) -> np.ndarray:
    """Strong colours, coarse and fine: (PICTURES, size, size, 3) uint8."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (PICTURES, 4, 4, 3))
    cells = np.arange(size) * 4 // size
    fine = random.integers(-60, 60, (PICTURES, size, size, 3))
    return np.clip(coarse[:, cells][:, :, cells] + fine, 0, 255).astype(np.uint8)


def off(rows: np.ndarray, expected: np.ndarray) -> float:
    """The largest relative distance of a row; random weights give figures of any size."""
    return float((np.linalg.norm(rows - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())


def test_kerass_own_spelling_will_do() -> None:
    for name, row in FAMILIES.items():
        assert own_spelling(row.constructor or name) == name
    assert (
        own_spelling("EfficientNet-Lite0") == "efficientnet_lite0"
        and own_spelling("keras:A_b") == "keras:A_b"
    )
    assert Backbone.of("ResNet50", "none") == Backbone.of("resnet50", "none")
