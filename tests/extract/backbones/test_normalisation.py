"""Which normalisations can become part of the convolution before them."""

from typing import Any

import keras
import pytest
from keras import layers

from extract.backbones.normalisation import normalised

PIXELS = (9, 9, 6)


def behind(convolution: Any, norm: Any, **keywords: Any) -> keras.Model:
    pixels = keras.Input(PIXELS)
    return keras.Model(pixels, norm(convolution(pixels), **keywords))


@pytest.mark.parametrize(
    "convolution",
    [
        layers.Conv2D(8, 1),
        layers.Conv2D(6, 3, groups=2, use_bias=False),
        layers.Conv2D(4, 3, strides=2, padding="same"),
        layers.DepthwiseConv2D(5, depth_multiplier=2),
    ],
    ids=["1x1", "groups", "strides", "depthwise"],
)
def test_a_normalisation_behind_a_convolution_is_found(convolution: layers.Layer) -> None:
    norm = layers.BatchNormalization()
    assert normalised(behind(convolution, norm)) == {convolution: norm}


@pytest.mark.parametrize(
    ("convolution", "norm"),
    [
        (layers.Conv2D(8, 1, activation="relu"), layers.BatchNormalization()),
        (layers.SeparableConv2D(8, 3), layers.BatchNormalization()),
        (layers.Conv2DTranspose(8, 3), layers.BatchNormalization()),
        (layers.Conv2D(4, 1), layers.LayerNormalization()),
        (layers.Conv2D(9, 1), layers.BatchNormalization(axis=1)),
    ],
    ids=["activation", "separable", "transposed", "another normalisation", "another axis"],
)
def test_others_are_not(convolution: layers.Layer, norm: layers.Layer) -> None:
    assert normalised(behind(convolution, norm)) == {}


def test_nor_is_one_that_goes_by_its_batch() -> None:
    assert normalised(behind(layers.Conv2D(4, 1), layers.BatchNormalization(), training=True)) == {}


def test_what_is_called_twice_or_read_twice_stays_as_it_is() -> None:
    pixels = keras.Input(PIXELS)
    shared, norm = layers.Conv2D(6, 1), layers.BatchNormalization()
    assert normalised(keras.Model(pixels, layers.BatchNormalization()(shared(shared(pixels))))) == {}
    twice = norm(layers.Conv2D(6, 1)(norm(layers.Conv2D(6, 1)(pixels))))
    assert normalised(keras.Model(pixels, twice)) == {}
    maps = layers.Conv2D(4, 1)(pixels)
    assert normalised(keras.Model(pixels, layers.Add()([layers.BatchNormalization()(maps), maps]))) == {}
    assert normalised(keras.Model(pixels, [layers.BatchNormalization()(maps), maps])) == {}


def test_a_normalisation_of_the_input_has_no_convolution() -> None:
    pixels = keras.Input(PIXELS)
    maps = layers.Conv2D(4, 1, name="border")(pixels)
    network = keras.Model(pixels, layers.BatchNormalization()(maps))
    above = keras.Model(network.get_layer("border").output, network.outputs[0])
    assert normalised(above) == {}
