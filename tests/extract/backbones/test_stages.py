"""Which tensors the stages of a network end with, and rows of all of them."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from cache.errors import UserError
from extract.backbones.backbone import Backbone
from extract.backbones.efficientnet_lite import VARIANTS
from extract.backbones.families import FAMILIES
from extract.backbones.network import build_backbone, build_embedder, hash_weights, network_of, parts_of
from extract.backbones.stages import stage_maps
from extract.engines.choice import learn_network, open_engine

# What a look at each network's plan says: width and side of the last maps before each halving, and of the end.
KNOWN = {
    "mobilenet_v2": [(144, 56), (192, 28), (576, 14), (1280, 7)],
    "resnet50": [(256, 56), (512, 28), (1024, 14), (2048, 7)],
    "vgg16": [(256, 56), (512, 28), (512, 14), (512, 7)],
    "densenet121": [(128, 56), (256, 28), (512, 14), (1024, 7)],
    "efficientnet_v2_b0": [(32, 56), (192, 28), (672, 14), (1280, 7)],
    "convnext_tiny": [(96, 56), (192, 28), (384, 14), (768, 7)],
    "inception_v3": [(192, 71), (288, 35), (768, 17), (2048, 8)],
}
QUICK = ("mobilenet_v2", "vgg16", "convnext_tiny")


def maps_of(network: keras.Model) -> list[tuple[int, int]]:
    return [(maps.shape[-1], maps.shape[1]) for maps in network.outputs]


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in KNOWN]
)
def test_stages_end_before_each_halving(name: str) -> None:
    network = build_backbone(Backbone.of(name, "none", pooling="stages"))
    assert maps_of(network) == KNOWN[name]
    assert sum(width for width, _ in KNOWN[name]) == FAMILIES[name].staged


@pytest.mark.families
@pytest.mark.parametrize("name", [n for n, row in FAMILIES.items() if row.staged])
def test_every_family_has_stages_and_the_weights_of_its_plain_rows(name: str) -> None:
    backbone = Backbone.of(name, "none", pooling="stages")
    embedder = build_embedder(backbone)
    widths = parts_of(embedder, "stages")
    assert embedder.output_shape == (None, sum(widths)) == (None, FAMILIES[name].staged)
    assert widths[-1] == FAMILIES[name].dim and 4 <= len(widths) <= 7
    sides = [side for _, side in maps_of(network_of(embedder))]
    assert sides == sorted(sides, reverse=True) and sides[0] <= FAMILIES[name].input_size / 3
    assert hash_weights(embedder) == hash_weights(build_embedder(Backbone.of(name, "none")))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_bundled_end_their_stages_with_their_groups_of_blocks(name: str) -> None:
    embedder = build_embedder(Backbone.of(name, "none", pooling="stages"))
    halvings = {"efficientnet_lite0": (56, 28, 14, 7), "efficientnet_lite1": (60, 30, 15, 8)}
    a, b, c, d = halvings.get(name, (65, 33, 17, 9))
    wide = name == "efficientnet_lite2"
    widths = [24, 48, 88, 120, 208, 352, 1280] if wide else [24, 40, 80, 112, 192, 320, 1280]
    assert sum(widths) == FAMILIES[name].staged
    assert maps_of(network_of(embedder)) == list(zip(widths, (a, b, c, c, d, d, d), strict=True))
    assert hash_weights(embedder) == hash_weights(build_embedder(Backbone.of(name, "none")))


@pytest.mark.parametrize("engine_name", ["litert", "keras"])
def test_the_last_part_of_a_row_is_the_plain_row(engine_name: str, flowers: Path) -> None:
    """In LiteRT to the last bit, in Keras to rounding: XLA may fuse two graphs differently."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    rows = {}
    for pooling in ("avg", "stages"):
        backbone = Backbone.of("efficientnet_lite0", input_size=64, pooling=pooling)
        network, engine = learn_network(backbone, engine_name)
        engine = engine or open_engine(engine_name, backbone, network, 1 if engine_name == "litert" else 2)
        rows[pooling] = np.concatenate([engine.embed(pixels[i : i + 1]) for i in range(2)])
        assert network.dim == rows[pooling].shape[1] and rows[pooling].dtype == np.float32
    assert network.parts == [24, 40, 80, 112, 192, 320, 1280]
    top = rows["stages"][:, -1280:]
    if engine_name == "litert":
        assert np.array_equal(top, rows["avg"])
    np.testing.assert_allclose(top, rows["avg"], rtol=1e-4, atol=1e-5)


def test_each_part_is_the_average_of_its_maps() -> None:
    backbone = Backbone.of("mobilenet_v2", "none", 32, "stages")
    embedder = build_embedder(backbone)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    maps = network_of(embedder)(pixels / 127.5 - 1)
    expected = np.concatenate([np.asarray(each).mean(axis=(1, 2)) for each in maps], axis=1)
    np.testing.assert_allclose(embedder.predict_on_batch(pixels), expected, rtol=1e-4, atol=1e-5)
    assert parts_of(embedder, "stages") == [each.shape[-1] for each in maps]


def net(*made: layers.Layer, size: int = 32) -> keras.Model:
    pixels = x = keras.Input((size, size, 3))
    for layer in made:
        x = layer(x)
    return keras.Model(pixels, x, name="own")


def conv(filters: int) -> layers.Layer:
    return layers.Conv2D(filters, 3, 2, padding="same")


def widths(network: keras.Model) -> list[int]:
    return [maps.shape[-1] for maps in stage_maps(network)]


def test_an_average_at_the_end_is_not_there_twice() -> None:
    made = [conv(1), conv(2), conv(4), conv(8)]
    assert widths(net(*made)) == [2, 4, 8]
    assert widths(net(*made, layers.GlobalAveragePooling2D())) == [2, 4, 8]
    assert widths(net(*made, layers.GlobalAveragePooling2D(), layers.Dense(16))) == [2, 4, 8, 16]


def test_borders_of_zeros_and_large_maps_are_left_out() -> None:
    made = [layers.Conv2D(1, 3), conv(2), conv(4), layers.ReLU(), layers.ZeroPadding2D(1), conv(8)]
    taken = stage_maps(net(*made))
    assert [maps._keras_history[0].name.split("_")[0] for maps in taken] == ["re", "conv2d"]
    assert [maps.shape[-1] for maps in taken] == [4, 8]


def test_a_network_that_enlarges_its_maps_again_has_each_size_once() -> None:
    made = [conv(1), conv(2), conv(3), conv(4), layers.UpSampling2D(), layers.ReLU(), layers.UpSampling2D()]
    assert [maps.shape[1:] for maps in stage_maps(net(*made))] == [(2, 2, 4), (4, 4, 4), (8, 8, 4)]


@pytest.mark.slow
def test_cells_that_each_read_the_two_before_have_none() -> None:
    with pytest.raises(UserError, match=r"received nasnet_mobile, where none are found.*--pooling avg"):
        build_embedder(Backbone.of("nasnet_mobile", "none", pooling="stages"))


@pytest.mark.parametrize(
    "made",
    [
        [layers.Conv2D(8, 8, 8), layers.Reshape((16, 8)), layers.Dense(8)],  # tokens
        [layers.Conv2D(8, 8, 8), layers.Reshape((16, 8)), layers.GlobalAveragePooling1D()],
        [layers.Flatten(), layers.Dense(4)],
        [conv(4), conv(8)],
    ],
)
def test_networks_without_stages_are_refused(made: list[layers.Layer]) -> None:
    with pytest.raises(UserError, match="--pooling avg"):
        stage_maps(net(*made))


def test_a_savedmodel_shows_no_layers(tmp_path: Path) -> None:
    net(conv(4), layers.GlobalAveragePooling2D()).export(tmp_path / "own", verbose=False)
    with pytest.raises(UserError, match=r"Expected --pooling avg.*SavedModel"):
        Backbone.of(f"savedmodel:{tmp_path / 'own'}", pooling="stages")
