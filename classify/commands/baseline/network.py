"""The network: three convolutions and two dense layers, as in the TensorFlow tutorial on flowers."""

from __future__ import annotations

import keras
from keras import layers

from classify.models.layers import LOGITS, build_head, with_resizing
from classify.models.linear import LinearHead
from classify.models.resizing import Square
from extract.settings import Decoding

FILTERS = (16, 32, 64)
UNITS = 128
DROPOUT = 0.2


def build_network(size: int, classes: int, seed: int) -> keras.Model:
    """Build the network with random weights: (B, size, size, 3) uint8 RGB to (B, classes) float32 logits."""
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(seed)
    square = keras.Input((size, size, 3), dtype="uint8", name="square")
    x = layers.Rescaling(1 / 255)(square)
    for filters in FILTERS:
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dropout(DROPOUT, seed=seed)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(UNITS, activation="relu", name="features")(x)
    return keras.Model(square, layers.Dense(classes, name=LOGITS)(x), name="baseline")


def finished(
    network: keras.Model, classes: tuple[str, ...], temperature: float, decoding: Decoding
) -> keras.Model:
    """Make the model that people get: (B, h, w, 3) uint8 RGB of any size to (B, C) float32 probabilities.

    Its layers "classifier" and, in that, "head" are as in `classify.models.layers.build_model`.

    Parameters
    ----------
    network : keras.Model
        From `build_network`; layers are shared with it.
    classes : tuple of str
        Names of the columns.
    temperature : float
        What the logits are divided by.
    decoding : Decoding
    """
    kernel, bias = network.get_layer(LOGITS).get_weights()
    head = build_head(LinearHead("none", kernel / temperature, bias / temperature, classes), UNITS)
    probability = head(network.get_layer("features").output)
    square = Square(network.input_shape[1], *decoding.rule)
    return with_resizing({square: network.input}, probability, network.name)
