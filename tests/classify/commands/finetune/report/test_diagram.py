"""The layers as text and as a picture, of one small network."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from classify.commands.finetune.network.border import Border, find_border
from classify.commands.finetune.report.diagram import diagram_svg
from classify.training.summary import summary_text

keras = pytest.importorskip("keras")


def block(x: Any, name: str) -> Any:
    layers = keras.layers
    y = layers.Conv2D(4, 3, padding="same", name=f"{name}_conv", use_bias=False)(x)
    y = layers.BatchNormalization(name=f"{name}_bn")(y)
    return layers.Add(name=f"{name}_add")([x, layers.ReLU(name=f"{name}_relu6")(y)])


@pytest.fixture(scope="module")
def network() -> Any:
    pixels = keras.Input((16, 16, 3), name="pixels")
    x = keras.layers.Conv2D(4, 1, strides=2, name="stem_conv")(pixels)
    for number in range(3):
        x = block(x, f"block{number}")
    inner = keras.Sequential(
        [keras.Input((8, 8, 4)), keras.layers.Conv2D(5, 3, name="inner_conv")], name="top"
    )
    return keras.Model(pixels, inner(x), name="small<net>")


def texts(svg: bytes) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg) if node.tag.endswith("text")]


def fills(svg: bytes) -> list[str | None]:
    """Of the boxes, in order; not of the legend, the page and the label of the border."""
    boxes = [
        node for node in ElementTree.fromstring(svg) if node.tag.endswith("rect") and node.get("rx") == "5"
    ]
    return [node.get("fill") for node in boxes]


def test_blocks_border_and_what_trains(network: Any) -> None:
    # From the middle of a block: what lies between it and the border is frozen, yet runs.
    border = Border("block0_add", "block1_relu6", ("block2_conv", "top/inner_conv"), (8, 8, 4), 329)
    svg = diagram_svg(network, border, 7)
    said = texts(svg)
    names = [name for name in said if name.startswith(("pixels", "stem", "block", "top", "head"))]
    assert names == ["pixels", "stem", "block0", "block1", "block1", "block2", "top", "head"]
    below, above, trains = "#e6edf5", "#f1f1f1", "#fbe6d6"
    assert fills(svg) == [below] * 3 + [above] + [trains] * 4
    assert said.index("block0") < said.index("border: 8 x 8 x 4 after block0_add")
    for text in ("2 layers train in small<net>, and the head", "16 x 16 x 3", "8 x 8 x 4", "6 x 6 x 5", "7"):
        assert text in said, text
    assert (
        said.count("1 of 4 layers trains") == said.count("1 of 1 layer trains") == 1 and "Conv2D, Add" in said
    )


def test_without_a_border_all_boxes_train(network: Any) -> None:
    svg = diagram_svg(network, find_border(network, everything=True), 7)
    assert set(fills(svg)) == {"#fbe6d6"} and not any("border:" in text for text in texts(svg))


def test_neighbours_of_one_size_share_a_box_where_there_are_many() -> None:
    x = pixels = keras.Input((4, 4, 1))
    for number in range(60):
        x = keras.layers.ReLU(name=f"block{number}_relu")(x)
    svg = diagram_svg(keras.Model(pixels, x), Border("block29_relu", "block30_relu", ("block59_relu",)), 2)
    assert len(fills(svg)) == 3 and "block30 … block59" in texts(svg)


def test_the_summary_names_every_layer_and_counts_what_trains(
    network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # no terminal decides what is cut off
    border = find_border(network, from_layer="block2_conv")
    border.unfreeze(network)
    lines = [line.split() for line in summary_text(network).splitlines()]
    assert lines[0] == ["small<net>"]
    assert ["block2_conv", "Conv2D", "8", "x", "8", "x", "4", "144", "yes"] in lines
    assert ["block2_bn", "BatchNormalization", "8", "x", "8", "x", "4", "16"] in lines
    assert ["block1_conv", "Conv2D", "8", "x", "8", "x", "4", "144"] in lines
    assert ["top", "Sequential", "6", "x", "6", "x", "5", "185", "yes"] in lines
    assert ["inner_conv", "Conv2D", "6", "x", "6", "x", "5", "185", "yes"] in lines
    assert ["parameters", "681"] in lines and ["trained", "329"] in lines and ["frozen", "352"] in lines
