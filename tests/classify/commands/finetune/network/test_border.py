"""The border, against its definition by brute force on real networks, and on small graphs of every awkward kind."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from cache.errors import UserError
from classify.commands.finetune.network.border import Border, find_border
from extract.backbones.backbone import Backbone
from extract.backbones.families import FAMILIES
from extract.backbones.network import build_backbone

NETWORKS = ["resnet50", "mobilenet_v2", "inception_v3", "efficientnet_b0"]
NETWORKS += [
    pytest.param("densenet121", marks=pytest.mark.slow)
]  # whose tensors are joined, as inception's are


def parents_of(network: keras.Model) -> tuple[dict[str, set[str]], str]:
    """Read the graph out of the saved form of a network: name to names of what it reads, and the output's name."""

    def histories(value: Any) -> Iterator[str]:
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            yield value["config"]["keras_history"][0]
        elif isinstance(value, dict | list | tuple):
            for part in value.values() if isinstance(value, dict) else value:
                yield from histories(part)

    config = network.get_config()
    parents = {layer["name"]: set(histories(layer["inbound_nodes"])) for layer in config["layers"]}
    output = config["output_layers"]
    return parents, output[0] if isinstance(output[0], str) else output[0][0]


def reached(parents: dict[str, set[str]], start: str, without: str = "") -> set[str]:
    """`start` and all that it depends on, when nothing may pass `without`."""
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name not in seen and name != without:
            seen.add(name)
            waiting += parents[name]
    return seen


class BruteForce:
    """Every layer that cuts a network in two with all that trains above it and something to save below it."""

    def __init__(self, network: keras.Model) -> None:
        parents, output = parents_of(network)
        self.order, source = [layer.name for layer in network.layers], network.layers[0].name
        self.heavy = {
            layer.name
            for layer in network.layers
            if layer.trainable_weights and not isinstance(layer, layers.BatchNormalization)
        }
        cuts = [name for name in parents if source not in reached(parents, output, without=name)]
        self.below = {name: reached(parents, name) for name in cuts}

    def latest(self, top: int) -> str:
        trained = self.heavy & set(self.order[-top:])
        allowed = [n for n, below in self.below.items() if not below & trained and below & self.heavy]
        return max(allowed, key=lambda name: len(self.below[name]), default="")


@pytest.mark.parametrize("name", NETWORKS)
def test_no_later_border_exists_and_the_halves_make_the_whole(name: str) -> None:
    size = max(32, FAMILIES[name].smallest)
    network = build_backbone(Backbone.of(name, "none", size, "avg"))
    truth = BruteForce(network)
    for top in range(14, len(network.layers) + 1, 9):
        border = find_border(network, top=top)
        assert border.layer == truth.latest(top), top
        assert border.first == network.layers[-top].name
    border = find_border(network, top=50)
    features = network.get_layer(border.layer).output
    bottom, above = keras.Model(network.inputs[0], features), keras.Model(features, network.output)
    assert bottom.output_shape[1:] == border.shape
    pixels = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    np.testing.assert_allclose(above(bottom(pixels)), network(pixels), rtol=1e-4, atol=1e-5)
    assert not {layer.name for layer in bottom.layers} & set(border.trainable)


@pytest.fixture(scope="module")
def lite0() -> keras.Model:
    return build_backbone(Backbone.of("efficientnet_lite0", "none", 64, "avg"))


def test_the_default_backbone(lite0: keras.Model) -> None:
    border = find_border(lite0, top=50)
    assert (border.layer, border.first, border.shape) == (
        "block9_add",
        "block10_depthwise_bn_relu6",
        (4, 4, 112),
    )
    convolutions = (layers.Conv2D, layers.DepthwiseConv2D)
    own = [layer for layer in lite0.layers[-50:] if isinstance(layer, convolutions)]
    assert border.trainable == tuple(layer.name for layer in own)
    assert border.parameters == sum(layer.count_params() for layer in own)
    assert border.describe() == "border after block9_add (4 x 4 x 112); 17 layers with 2.7 M parameters train"
    assert find_border(lite0, from_layer="block10_depthwise_bn_relu6") == border
    assert find_border(lite0, from_layer=str(len(lite0.layers) - 50)) == border


def test_activations_and_norms_of_the_range_keep_no_border_down(lite0: keras.Model) -> None:
    assert find_border(lite0, from_layer="block15_expand_bn").layer == "block15_expand_bn_relu6"


def test_everything_has_no_border(lite0: keras.Model) -> None:
    border = find_border(lite0, everything=True)
    assert (border.layer, border.shape, border.first) == ("", (), "pixels")
    assert border == find_border(lite0, top=len(lite0.layers))
    assert border.describe().startswith("no border, the whole network runs; 49 layers")


def test_unfreeze_trains_what_the_border_says_and_no_norm(lite0: keras.Model) -> None:
    border = find_border(lite0, top=50)
    border.unfreeze(lite0)
    assert sum(int(np.prod(w.shape)) for w in lite0.trainable_weights) == border.parameters
    assert {layer.name for layer in lite0.layers if layer.trainable_weights} == set(border.trainable)
    lite0.trainable = False
    assert (
        find_border(lite0, top=50) == border
    )  # what trains is asked of the layers, not of their present state


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"top": 0}, "1 to 141 layers"),
        ({"top": 142}, "1 to 141 layers from the top of efficientnet_lite0, received 142"),
        ({"top": 1}, "at least 3 layers from the top"),
        ({"from_layer": "block9_ad"}, "such as block9_add"),
        ({"from_layer": "141"}, "index from 0 to 140; received '141'"),
        ({"from_layer": "-50"}, "index from 0 to 140"),
        ({}, "one way to say"),
        ({"top": 5, "everything": True}, "one way to say"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(lite0: keras.Model, asked: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        find_border(lite0, **asked)


def dense(name: str) -> layers.Layer:
    return layers.Dense(4, name=name)


def test_operations_count_as_ways_past_a_layer() -> None:
    inputs = keras.Input((4,))
    a = dense("a")(inputs)
    b = dense("b")(a)
    network = keras.Model(inputs, dense("d")(dense("c")(ops.relu(b) + a)))
    assert find_border(network, from_layer="d").layer == "c"
    assert find_border(network, from_layer="c").layer == "a"  # the sum would do, but is no layer
    assert find_border(network, from_layer="b").layer == "a"


@pytest.mark.parametrize("turned", [False, True])
def test_an_input_that_joins_later_goes_past(turned: bool) -> None:
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    both = [dense("b")(dense("a")(one)), two]
    joined = layers.Add(name="join")(both[::-1] if turned else both)
    network = keras.Model([one, two], dense("d")(dense("c")(joined)))
    assert find_border(network, from_layer="d").layer == "c"
    assert find_border(network, from_layer="c").layer == "join"
    assert find_border(network, from_layer="b").layer == ""


def test_an_output_on_the_way_goes_past() -> None:
    inputs = keras.Input((4,))
    a = dense("a")(inputs)
    network = keras.Model(inputs, [a, dense("c")(dense("b")(a))])
    assert find_border(network, from_layer="c").layer == "a"


def test_padding_and_scaling_are_not_worth_a_border() -> None:
    inputs = keras.Input((4,))
    x = dense("b")(dense("a")(layers.ReLU(name="r")(layers.Rescaling(0.5, name="s")(inputs))))
    network = keras.Model(inputs, x)
    assert find_border(network, from_layer="a").layer == ""
    assert find_border(network, from_layer="b").layer == "a"


class Block(layers.Layer):
    def __init__(self) -> None:
        super().__init__(name="block")
        self.inside, self.norm = dense("inside"), layers.BatchNormalization()

    def build(self, shape: tuple) -> None:
        self.inside.build(shape)
        self.norm.build(shape)

    def call(self, x: Any) -> Any:
        return self.norm(self.inside(x))


def test_a_norm_inside_a_layer_stays_frozen() -> None:
    inputs = keras.Input((4,))
    network = keras.Model(inputs, Block()(dense("a")(inputs)))
    border = find_border(network, top=1)
    border.unfreeze(network)
    assert (border.layer, border.trainable, border.parameters) == ("a", ("block",), 20)
    assert [tuple(weight.shape) for weight in network.trainable_weights] == [(4, 4), (4,)]


def test_a_shared_layer_trains_where_it_is_called_first() -> None:
    inputs = keras.Input((4,))
    shared = dense("shared")
    x = dense("b")(shared(dense("a")(inputs)))
    network = keras.Model(inputs, dense("c")(shared(x)))
    assert find_border(network, from_layer="c").layer == "b"  # the shared layer's output could be either
    last = [layer.name for layer in network.layers].index("shared")
    assert find_border(network, from_layer=str(last)).layer == "a"


def test_a_model_inside_is_one_layer_with_named_parts() -> None:
    tensor = keras.Input((4,))
    inner = keras.Model(tensor, dense("y")(layers.BatchNormalization()(dense("x")(tensor))), name="inner")
    inputs = keras.Input((4,))
    network = keras.Model(inputs, dense("head")(inner(dense("a")(inputs))))
    border = find_border(network, from_layer="inner")
    assert (border.layer, border.trainable) == ("a", ("inner/x", "inner/y", "head"))
    assert find_border(network, from_layer="head").layer == "a"  # a model's output is that of its own graph
    network.trainable = False
    border.unfreeze(network)
    assert len(network.trainable_weights) == 6
    assert sum(int(np.prod(w.shape)) for w in network.trainable_weights) == border.parameters == 60


def test_a_sequential_network_has_a_border() -> None:
    network = keras.Sequential([keras.Input((4,)), dense("a"), dense("b"), layers.ReLU(name="r"), dense("c")])
    assert find_border(network, top=2) == Border("r", "r", ("c",), (4,), 20)


class Closed(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="closed")
        self.inside = dense("inside")

    def call(self, x: Any) -> Any:
        return self.inside(x)


def test_a_network_that_hides_its_layers_is_refused() -> None:
    inputs, closed = keras.Input((4,)), Closed()
    wrapped = keras.Model(inputs, closed(inputs), name="wrapped")
    for network in (closed, wrapped, keras.Sequential([dense("a"), dense("b")], name="unbuilt")):
        with pytest.raises(UserError, match=f"shows its layers.*received {network.name}"):
            find_border(network, top=1)
