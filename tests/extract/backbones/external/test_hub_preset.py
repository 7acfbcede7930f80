"""Presets of KerasHub as backbones, with tiny networks of random weights saved here."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cache.errors import UserError
from classify.commands.finetune.network.border import find_border
from extract.backbones.backbone import Backbone
from extract.backbones.external import hub_preset
from extract.backbones.network import build_backbone, build_embedder, hash_weights
from extract.engines.choice import open_engine
from extract.engines.conversion import convert
from extract.engines.engine import KerasEngine

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 3), dtype=np.uint8)
SMALL = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def hub() -> Any:
    return pytest.importorskip("keras_hub", reason="the extra kerashub is not installed")


@pytest.fixture(scope="module")
def vit(hub: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A vision transformer with an image converter, as the published ones have."""
    keras.utils.set_random_seed(1)
    model = hub.models.ViTBackbone(image_shape=(28, 28, 3), patch_size=14, mlp_dim=16, **SMALL)
    folder = tmp_path_factory.mktemp("presets") / "vit"
    model.save_to_preset(str(folder))
    converter = hub.layers.ViTImageConverter(image_size=(28, 28), scale=1 / 127.5, offset=(-1.0, -0.9, -1.1))
    converter.save_to_preset(str(folder))
    return model, folder


def test_a_vision_transformer_runs_on_both_engines(vit: tuple[Any, Path]) -> None:
    """Tokens are averaged, and pictures preprocessed as the preset's own converter does."""
    model, folder = vit
    backbone = Backbone.of(f"kerashub:{folder}")
    assert backbone.input_size == 28 and backbone.preprocessing.startswith("x * [0.0078")
    tokens = model.predict(PIXELS / np.float32(127.5) + np.float32([-1.0, -0.9, -1.1]), verbose=0)
    assert tokens.shape == (3, 5, 8)
    network = convert(backbone)
    assert (network.dim, network.parameters) == (8, model.count_params())
    for name in ("litert", "keras"):
        rows = open_engine(name, backbone, network, 3).embed(PIXELS)
        np.testing.assert_allclose(rows, tokens.mean(1), rtol=1e-4, atol=1e-5)
    flat = KerasEngine(Backbone.of(f"kerashub:{folder}", pooling="flatten"), 3).embed(PIXELS)
    np.testing.assert_allclose(flat, tokens.reshape(3, -1), rtol=1e-3, atol=1e-5)
    with pytest.raises(UserError, match=r"makes tokens of a picture.*--pooling avg"):
        convert(Backbone.of(f"kerashub:{folder}", pooling="stages"))


def test_its_layers_can_be_read_and_trained(vit: tuple[Any, Path]) -> None:
    network = build_backbone(Backbone.of(f"kerashub:{vit[1]}"))
    assert [layer.name for layer in network.layers[1:]] == ["vit_patching_and_embedding", "vit_encoder"]
    border = find_border(network, top=1)
    assert (border.layer, border.shape) == ("vit_patching_and_embedding", (5, 8))
    assert find_border(network, everything=True).parameters == vit[0].count_params()
    below = KerasEngine(Backbone.of(f"kerashub:{vit[1]}", pooling="max@vit_patching_and_embedding"), 3)
    assert below.embed(PIXELS).shape == (3, 8)


def test_random_weights_and_half_precision(vit: tuple[Any, Path]) -> None:
    name = f"kerashub:{vit[1]}"
    random, own = (build_embedder(Backbone.of(name, weights)) for weights in ("none", "imagenet"))
    assert hash_weights(own) == hash_weights(vit[0]) != hash_weights(random)
    try:
        half = build_backbone(Backbone.of(name, precision="float16"))
        assert half.layers[-1].compute_dtype == "float32"  # the policy that is set counts
        half = build_embedder(Backbone.of(name, precision="float16"))
        assert half.layers[-2].layers[-1].compute_dtype == "float16"
        assert Backbone.of(name, precision="float16").name == Backbone.of(name).name
    finally:
        keras.config.set_dtype_policy("float32")


def test_dinov2_without_a_converter(hub: Any, tmp_path: Path) -> None:
    model = hub.models.DINOV2Backbone(
        patch_size=14,
        intermediate_dim=16,
        image_shape=(28, 28, 3),
        position_embedding_shape=(28, 28),
        **SMALL,
    )
    model.save_to_preset(str(tmp_path / "dino"))
    backbone = Backbone.of(f"kerashub:{tmp_path / 'dino'}")
    assert backbone.preprocessing == "none"
    expected = model.predict(PIXELS.astype(np.float32), verbose=0).mean(1)
    np.testing.assert_allclose(KerasEngine(backbone, 3).embed(PIXELS), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="input size of 28"):
        Backbone.of(f"kerashub:{tmp_path / 'dino'}", input_size=56)


def test_siglip_gives_what_it_sees(hub: Any, tmp_path: Path) -> None:
    """Of a model of pictures and text the part that takes pictures is the backbone."""
    vision = hub.models.SigLIPVisionEncoder(
        patch_size=14, intermediate_dim=16, image_shape=(28, 28, 3), **SMALL
    )
    text = hub.models.SigLIPTextEncoder(
        vocabulary_size=9, embedding_dim=8, intermediate_dim=16, max_sequence_length=4, **SMALL
    )
    model = hub.models.SigLIPBackbone(vision, text)
    model.save_to_preset(str(tmp_path / "siglip"))
    backbone = Backbone.of(f"kerashub:{tmp_path / 'siglip'}")
    assert backbone.name.startswith("kerashub:SigLIPVisionEncoder-")
    expected = vision.predict(PIXELS.astype(np.float32), verbose=0)
    expected = expected if expected.ndim == 2 else expected.mean(1)
    np.testing.assert_allclose(KerasEngine(backbone, 3).embed(PIXELS), expected, rtol=1e-4, atol=1e-5)


def test_a_convolutional_preset_of_any_size(hub: Any, tmp_path: Path) -> None:
    model = hub.models.VGGBackbone(stackwise_num_repeats=[1, 1], stackwise_num_filters=[4, 6])
    model.save_to_preset(str(tmp_path / "vgg"))
    name = f"kerashub:{tmp_path / 'vgg'}"
    with pytest.raises(UserError, match="Expected --input-size"):
        Backbone.of(name)
    rows = KerasEngine(Backbone.of(name, input_size=28), 3).embed(PIXELS)
    expected = model.predict(PIXELS.astype(np.float32), verbose=0).mean((1, 2))
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_had_says_why(
    hub: Any, vit: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(name: str, told: str, **asked: Any) -> None:
        with pytest.raises(UserError, match=told):
            Backbone.of(name, **asked)

    refused(
        "kerashub:no_such_preset_at_all",
        r"Expected to find or download kerashub:no_such_preset_at_all, but: [^:]*\. Check",
    )
    refused("kerashub:./nowhere", "name or folder after kerashub:, received ./nowhere, which is not there")
    refused(f"kerashub:{tmp_path}", "without config.json")
    refused(f"kerashub:{vit[1]}", "--weights pretrained or none", weights="own.weights.h5")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").write_text(json.dumps({"nothing": 1}))
    refused(f"kerashub:{tmp_path / 'bad'}", "Expected to find or download")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refused(f"kerashub:{vit[1]}", r"Run `pip install 'coldframe\[kerashub\]'`")


def test_a_failed_download_says_what_to_do(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network in this test")

    monkeypatch.setattr(hub.models.Backbone, "from_preset", fail)
    with pytest.raises(UserError, match=r"no network in this test.*--backbone kerashub:FOLDER"):
        Backbone.of("kerashub:vit_base_patch16_224_imagenet")


def test_converters_that_say_little() -> None:
    class Converter:
        scale, offset = None, None

    assert hub_preset._preprocessing(Converter()) == hub_preset._preprocessing(None) == "none"
    Converter.scale = 0.5
    assert hub_preset._preprocessing(Converter()) == "x * [0.5, 0.5, 0.5] + [0.0, 0.0, 0.0]"
