"""The top shares the network's variables and says what the whole network with the head says."""

from functools import cache

import keras
import numpy as np
import pytest
from keras import layers

from classify.commands.finetune.network.batch_norm_folding import Folded
from classify.commands.finetune.network.border import find_border
from classify.commands.finetune.network.top import build_top, read_head, set_head
from classify.models.linear import LinearHead
from extract.backbones.backbone import Backbone
from extract.backbones.network import build_backbone

BACKBONE = Backbone.of("efficientnet_lite0", input_size=64, pooling="avg")


def some_head(width: int = 1280, scaling: str = "none") -> LinearHead:
    random = np.random.default_rng(0)
    kernel = random.normal(size=(width, 3)).astype(np.float32) / 30
    return LinearHead(scaling, kernel, random.normal(size=3).astype(np.float32), ("a", "b", "c"))


@cache
def pictures() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, 64, 64, 3)).astype(np.float32)


@cache
def backbone() -> keras.Model:
    """Whoever builds a top on it says which of its layers train."""
    return build_backbone(BACKBONE)


@cache
def halves() -> tuple[np.ndarray, np.ndarray]:
    """What its bottom says of the pictures, and what all of it does."""
    network = backbone()
    below = network.get_layer(find_border(network, top=50).layer).output
    activations, maps = keras.Model(network.inputs, [below, network.output])(pictures())
    return np.asarray(activations), np.asarray(maps)


@pytest.mark.parametrize("scaling", ["none", "length", "root"])
def test_top_on_the_bottom_equals_network_and_head(scaling: str) -> None:
    network, (activations, maps) = backbone(), halves()
    border, head = find_border(network, top=50), some_head(scaling=scaling)
    expected = head.logits(np.mean(maps, axis=(1, 2)))
    top = build_top(network, border, BACKBONE, head)
    found = top(activations)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    kernel, bias = read_head(top)
    assert np.array_equal(kernel, head.kernel) and np.array_equal(bias, head.bias)
    other = LinearHead(scaling, 2 * head.kernel, head.bias, head.classes)
    set_head(top, other)
    assert np.array_equal(read_head(top)[0], other.kernel)


def test_only_what_lies_above_and_is_asked_for_trains_and_is_shared() -> None:
    network = backbone()
    border = find_border(network, top=50)
    top = build_top(network, border, BACKBONE, some_head())
    names = {v.path.split("/")[0] for v in top.trainable_variables}
    assert names == {*border.trainable, "logits"} and len(border.trainable) == 17
    assert not any("expand" in name for name in names if name.startswith("block10"))
    assert not any(
        layer.trainable for layer in network.layers if isinstance(layer, layers.BatchNormalization)
    )
    kernel = network.get_layer("top").kernel
    assert any(kernel is v for v in top.trainable_variables)
    assert sum(isinstance(layer, Folded) for layer in top.layers) == 19  # block10: 3, 11 to 15: 15, top: 1


def test_border_at_the_input_takes_pixels() -> None:
    network = backbone()
    border = find_border(network, everything=True)
    top = build_top(network, border, BACKBONE, some_head())
    assert border.layer == "" and top.input.dtype == "uint8" and top.input.shape[1:] == (64, 64, 3)
    assert len(top.trainable_variables) == len(border.trainable) + 2


def test_shared_and_branching_layers_are_not_folded() -> None:
    pixels = keras.Input((8, 8, 3))
    stem = layers.Conv2D(4, 1, name="stem")(pixels)
    shared = layers.Conv2D(4, 1, name="shared")
    one = layers.BatchNormalization(name="one")(shared(stem))
    two = layers.BatchNormalization(name="two")(shared(one))
    open_end = layers.Conv2D(4, 1, name="open_end")(two)
    normal = layers.BatchNormalization(name="three")(open_end)
    network = keras.Model(pixels, layers.Add()([normal, open_end]))
    random = np.random.default_rng(0)
    for name in ("one", "two", "three"):
        norm = network.get_layer(name)
        norm.set_weights([random.uniform(0.5, 2, w.shape) for w in norm.get_weights()])
    border = find_border(network, from_layer="shared")
    head = some_head(4)
    bottom = keras.Model(network.inputs, network.get_layer(border.layer).output)
    x = random.normal(size=(2, 8, 8, 3)).astype(np.float32)
    expected = head.logits(np.mean(network(x), axis=(1, 2)))
    top = build_top(network, border, BACKBONE, head)
    assert not any(isinstance(layer, Folded) for layer in top.layers)
    np.testing.assert_allclose(top(bottom(x)), expected, atol=1e-5)


def test_convolutions_in_groups_are_not_folded() -> None:
    pixels = keras.Input((8, 8, 4))
    maps = layers.Conv2D(4, 1, name="stem")(pixels)
    for groups in (1, 2):
        maps = layers.BatchNormalization()(layers.Conv2D(4, 3, groups=groups, name=f"of_{groups}")(maps))
    network = keras.Model(pixels, maps)
    border = find_border(network, from_layer="of_1")
    top = build_top(network, border, BACKBONE, some_head(4))
    assert [each.convolution.name for each in top.layers if isinstance(each, Folded)] == ["of_1"]
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype(np.float32)
    expected = some_head(4).logits(np.mean(network(x), axis=(1, 2)))
    bottom = keras.Model(network.inputs, network.get_layer(border.layer).output)
    np.testing.assert_allclose(top(bottom(x)), expected, atol=1e-5)


def test_normalisation_in_a_nested_model_is_frozen_too() -> None:
    inside = keras.Input((8, 8, 4))
    inner = keras.Model(
        inside, layers.BatchNormalization(name="norm")(layers.Conv2D(4, 1, name="conv")(inside)), name="inner"
    )
    pixels = keras.Input((8, 8, 3))
    network = keras.Model(
        pixels, layers.Conv2D(4, 1, name="last")(inner(layers.Conv2D(4, 1, name="stem")(pixels)))
    )
    border = find_border(network, from_layer="inner")
    top = build_top(network, border, BACKBONE, some_head(4))
    assert {v.path for v in top.trainable_variables} == {
        "conv/kernel",
        "conv/bias",
        "last/kernel",
        "last/bias",
        "logits/kernel",
        "logits/bias",
    }
    assert not inner.get_layer("norm").trainable
