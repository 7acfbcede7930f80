"""Where all data passes through one tensor, on small graphs; on real networks the border's tests compare it."""

import keras
from keras import layers

from extract.backbones.flow import call_of, sweep


def alone(outputs: list) -> list[str]:
    return [node.operation.name for node, alone in sweep(outputs) if alone]


def test_a_branch_is_no_place_through_which_all_data_flows() -> None:
    pixels = keras.Input((8, 8, 3), name="pixels")
    x = layers.Conv2D(2, 3, name="a")(pixels)
    left, right = layers.Conv2D(2, 3, name="b")(x), layers.Conv2D(2, 3, name="c")(x)
    x = layers.Add(name="d")([left, right])
    x = layers.ReLU(name="e")(x)
    assert alone([x]) == ["pixels", "a", "d", "e"]
    assert call_of(x).operation.name == "e"


def test_what_goes_past_a_layer_keeps_it_from_being_one() -> None:
    pixels = keras.Input((8, 8, 3), name="pixels")
    a = layers.ReLU(name="a")(pixels)
    b = layers.ReLU(name="b")(a)
    assert alone([layers.Add(name="c")([layers.ReLU(name="d")(b), a])]) == ["pixels", "a", "c"]


def test_every_output_counts() -> None:
    pixels = keras.Input((8, 8, 3), name="pixels")
    a = layers.ReLU(name="a")(pixels)
    assert alone([a, layers.ReLU(name="b")(a)]) == ["pixels", "a"]
