"""The lower part of a network, cut from the file of the whole, is the one that a conversion gives."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from extract.backbones.backbone import Backbone
from extract.engines import network_cache
from extract.engines.conversion import _float_file
from extract.engines.cutting import cut, know_lower_part
from extract.engines.engine import KerasEngine, LiteRTEngine
from extract.engines.network_cache import Network
from tests.extract.engines.tiny import pictures, tiny_network


@pytest.fixture
def whole() -> keras.Model:
    return tiny_network()


@pytest.fixture
def lower(whole: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """The network up to its sum, of which nothing is known yet."""
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "cache"))
    whole.save(tmp_path / "tiny.keras")
    end = next(layer.name for layer in whole.layers if isinstance(layer, layers.Add))
    return Backbone.of(f"keras:{tmp_path / 'tiny.keras'}", pooling=f"layer:{end}")


def keep(backbone: Backbone, network: keras.Model) -> bytes:
    data = _float_file(Backbone.of(), network)
    network_cache.remember(backbone, Network("0" * 64, 24, 1, network_cache.keep_model(data)))
    return data


def test_the_lower_part_is_known_without_a_conversion(whole: keras.Model, lower: Backbone) -> None:
    data = keep(replace(lower, pooling="flatten"), whole)
    know_lower_part(lower, whole)
    found, keras_engine = network_cache.find(lower), KerasEngine(lower, 2)
    assert found is not None and found == replace(keras_engine.network, model=found.model)
    assert found.model_path.stat().st_size < len(data)
    pixels = pictures(2)
    expected = keras_engine.embed(pixels)
    assert expected.shape == (2, 12, 12, 8)
    np.testing.assert_allclose(LiteRTEngine(found, 2).embed(pixels), expected, atol=1e-5)


def test_a_file_of_other_weights_is_no_whole(whole: keras.Model, lower: Backbone) -> None:
    names = [layer.name for layer in whole.layers]
    for layer in whole.layers:
        if isinstance(layer, layers.Conv2D):
            layer.set_weights([2 * weight for weight in layer.get_weights()])
    keep(replace(lower, pooling="avg"), whole)
    know_lower_part(lower, keras.models.load_model(lower.location.removeprefix("keras:")))
    assert network_cache.find(lower) is None and lower.layer in names


def test_without_the_whole_or_its_tensor_nothing_is_known(whole: keras.Model, lower: Backbone) -> None:
    know_lower_part(lower, whole)
    assert network_cache.find(lower) is None
    assert cut(keep(replace(lower, pooling="avg"), whole), "ad") is None
