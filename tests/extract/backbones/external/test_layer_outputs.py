"""Embeddings that are a layer's raw output: the same on both engines, in the cache, and in every process."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.finetune.network.border import find_border
from extract.backbones.backbone import Backbone
from extract.backbones.network import build_backbone, build_embedder, pool
from extract.embedding.extractor import Extractor
from extract.embedding.progress import Progress
from extract.embedding.runner import Outcome
from extract.embedding.spaces import backbone_of
from extract.engines import choice
from extract.engines.choice import learn_network
from extract.engines.conversion import convert
from extract.engines.engine import KerasEngine
from extract.pictures.augmentation import View
from extract.pictures.files import load
from extract.settings import Decoding, Options
from extract.sources.source import scan


def backbone(layer: str) -> Backbone:
    return Backbone.of("efficientnet_lite0", "none", 64, f"layer:{layer}")


@pytest.fixture(scope="module")
def bottom() -> Backbone:
    return backbone("block2_add")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for number in range(3):
            small = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
            small.resize((80, 80)).save(tmp_path / "pictures" / label / f"{number}.png")
    return tmp_path / "pictures"


@pytest.mark.parametrize(("engine", "dtype"), [("litert", "float16"), ("keras", "float32")])
def test_activations_are_extracted_like_embeddings(
    bottom: Backbone, pictures: Path, tmp_path: Path, engine: str, dtype: str
) -> None:
    """Rows are (h, w, c) and what the layer gives inside the whole network; plain and as a view."""
    network = build_embedder(Backbone.of("efficientnet_lite0", "none", 64, "avg")).layers[-2]
    whole = keras.Model(network.input, network.get_layer("block2_add").output)
    for view in (None, View("standard", 1)):
        found = scan(pictures, []).manifest
        options = Options(engine, batch_size=2, dtype=dtype)
        extractor = Extractor(Workspace(tmp_path / "w"), bottom, Decoding(), options, view=view)
        extractor.embed(found, np.arange(len(found)), Progress(), Outcome())
        rows = extractor.store.gather(found.key)
        assert rows.shape == (6, 16, 16, 24) and rows.dtype == np.float32
        assert [shard.dtype for shard in extractor.store.shards()] == [np.dtype(dtype)]
        assert extractor.space.pooling == "layer:block2_add" and backbone_of(extractor.store) == bottom
        files = zip(found.paths, found.key, strict=True)
        pixels = np.stack([load(pictures, path, key.tobytes(), 64, Decoding(), view) for path, key in files])
        expected = np.asarray(whole((pixels.astype(np.float32) - 127) / 128))
        off = np.abs(rows - expected).max() / np.abs(expected).max()
        assert off < (2e-3 if dtype == "float16" else 1e-5)


def test_a_converted_bottom_is_found_again(bottom: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = learn_network(bottom, "litert")
    first = first if first.model else convert(bottom)  # the Keras engine got there before
    monkeypatch.setattr(choice, "convert", lambda *_: pytest.fail("converted again"))
    assert learn_network(bottom, "litert") == (first, None)
    pooled = KerasEngine(Backbone.of("efficientnet_lite0", "none", 64, "avg")).network
    assert first.parameters < pooled.parameters and first.weights != pooled.weights and first.dim == 24


def test_only_what_lies_below_is_built() -> None:
    embedder = build_embedder(backbone("block0_project_bn"))
    assert embedder.output_shape == (None, 32, 32, 16)
    assert embedder.layers[-1].layers[-1].name == "block0_project_bn"


def test_an_unknown_layer_is_refused_with_near_names() -> None:
    with pytest.raises(
        UserError, match=r"such as block9_add.*received 'block9_ad'.*140 layers, from stem to"
    ):
        build_embedder(backbone("block9_ad"))
    with pytest.raises(UserError, match="received 'pixels'"):
        build_embedder(backbone("pixels"))
    for pooling in ("layer", "block9_add", "layer:"):
        with pytest.raises(UserError, match=r"avg, max, flatten.* or layer:NAME"):
            Backbone.of(pooling=pooling)


def test_unnamed_layers_are_called_the_same_whatever_was_built_before() -> None:
    """Or a space's layer would be another one in the process that converts it."""
    keras.layers.Add(), keras.layers.Conv2D(1, 1)
    xception = Backbone.of("xception", "none", 71)
    first = [layer.name for layer in build_backbone(xception).layers]
    network = build_backbone(xception)
    assert [layer.name for layer in network.layers] == first
    assert {"add", "add_11", "conv2d", "conv2d_3"} <= set(first)
    assert not {"add_12", "conv2d_4"} & set(first)
    border = find_border(network, top=50)
    assert border.layer == "add_6"
    kept = build_embedder(Backbone.of("xception", "none", 71, f"layer:{border.layer}"))
    assert kept.output_shape[1:] == border.shape


def test_the_policy_of_the_caller_reaches_the_network() -> None:
    try:
        half = build_embedder(Backbone.of("efficientnet_lite0", "none", 64, "layer:stem_bn_relu6", "float16"))
        assert half.layers[-1].layers[-1].compute_dtype == "float16"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(("pooling", "expected"), [("avg", [[2.5, 3.5]]), ("max", [[6, 7]])])
def test_pooling_of_features(pooling: str, expected: list) -> None:
    features = np.array([0, 1, 2, 3, 2, 3, 6, 7], np.float32).reshape(1, 2, 2, 2)
    np.testing.assert_array_equal(pool(features, pooling), expected)
    np.testing.assert_array_equal(pool(features, "flatten"), features.reshape(1, 8))
    assert pool(features, "layer:any") is features
