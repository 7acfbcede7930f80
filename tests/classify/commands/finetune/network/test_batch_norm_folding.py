"""Folding a frozen normalisation changes neither what a network says nor what it learns."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from classify.commands.finetune.network import batch_norm_folding
from classify.commands.finetune.network.batch_norm_folding import Folded


def pair(
    convolution: Any, size: int = 9, channels: int = 6
) -> tuple[keras.Model, layers.Layer, layers.Layer]:
    """A convolution with a used normalisation behind it."""
    norm = layers.BatchNormalization(epsilon=1e-3)
    pixels = keras.Input((size, size, channels))
    model = keras.Model(pixels, norm(convolution(pixels)))
    random = np.random.default_rng(0)
    norm.set_weights([random.uniform(0.5, 2, w.shape) for w in norm.get_weights()])
    if convolution.use_bias:
        convolution.bias.assign(random.normal(size=convolution.bias.shape))
    norm.trainable = False
    return model, convolution, norm


CONVOLUTIONS = {
    "1x1": lambda: layers.Conv2D(8, 1, use_bias=False),
    "1x1 with bias": lambda: layers.Conv2D(8, 1, padding="same"),
    "1x1 stride 2": lambda: layers.Conv2D(8, 1, strides=2),
    "3x3 stride 2 with bias": lambda: layers.Conv2D(8, 3, strides=2, padding="same"),
    "dilated": lambda: layers.Conv2D(4, 3, dilation_rate=2, padding="same"),
    "depthwise 3x3": lambda: layers.DepthwiseConv2D(3, padding="same"),
    "depthwise 5x5": lambda: layers.DepthwiseConv2D(5, padding="same", use_bias=False),
    "depthwise 5x5 stride 2": lambda: layers.DepthwiseConv2D(5, strides=2, padding="same"),
    "depthwise 5x5 stride 3": lambda: layers.DepthwiseConv2D(5, strides=3, padding="same", use_bias=False),
    "depthwise 4x4": lambda: layers.DepthwiseConv2D(4, padding="same"),
    "depthwise 5x7": lambda: layers.DepthwiseConv2D((5, 7), padding="same"),
    "depthwise 9x9": lambda: layers.DepthwiseConv2D(9, padding="same"),
    "depthwise 9x9 stride 2": lambda: layers.DepthwiseConv2D(9, strides=2, padding="same"),
    "depthwise 7x7 valid stride 2": lambda: layers.DepthwiseConv2D(7, strides=2),
    "depthwise 5x5 valid": lambda: layers.DepthwiseConv2D(5, padding="valid"),
    "depthwise multiplied": lambda: layers.DepthwiseConv2D(5, padding="same", depth_multiplier=2),
}


@pytest.mark.parametrize("size", [9, 10])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_folded_pair_equals_the_two_layers_forwards_and_backwards(name: str, size: int) -> None:
    model, convolution, norm = pair(CONVOLUTIONS[name](), size)
    folded = Folded(convolution, norm)
    x = tf.constant(np.random.default_rng(1).normal(size=(3, size, size, 6)), tf.float32)
    found = []
    for network in (model, folded):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = network(x, training=True)
            loss = tf.reduce_sum(tf.sin(y))
        variables = convolution.trainable_variables
        found.append([y, *tape.gradient(loss, [x, *(v.value for v in variables)])])
    for plain, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-4)


def test_what_only_mixes_channels_is_a_product_of_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = batch_norm_folding._product
    monkeypatch.setattr(batch_norm_folding, "_product", lambda *a: calls.append(1) or real(*a))
    for name, used in (("1x1", 1), ("1x1 with bias", 1), ("1x1 stride 2", 0), ("dilated", 0)):
        calls.clear()
        _, convolution, norm = pair(CONVOLUTIONS[name]())
        folded = Folded(convolution, norm)
        for sides in ((9, 9), (None, None)):
            inputs = keras.Input((*sides, 6))
            assert folded(inputs).shape[3] == convolution.filters
            x = tf.ones((2, 9, 9, 6))
            np.testing.assert_allclose(folded(x), norm(convolution(x)), rtol=1e-5, atol=1e-5)
        assert bool(calls) == bool(used), name


def test_the_fast_kernel_gradient_is_the_one_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = batch_norm_folding._kernel_gradient
    monkeypatch.setattr(batch_norm_folding, "_kernel_gradient", lambda *a: calls.append(1) or real(*a))
    for name, size, used in (
        ("depthwise 5x5", 9, 1),
        ("depthwise 5x5", 1, 1),
        ("depthwise 3x3", 9, 0),
        ("depthwise multiplied", 9, 0),
    ):
        calls.clear()
        _, convolution, norm = pair(CONVOLUTIONS[name](), size)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(Folded(convolution, norm)(tf.ones((2, size, size, 6))))
        tape.gradient(loss, convolution.trainable_variables)
        assert len(calls) == used, (name, size)
    uneven = layers.DepthwiseConv2D(5, strides=(1, 2))  # which TensorFlow's own kernel does not take
    assert not batch_norm_folding._without_onednn(tf.ones((2, 9, 9, 6)), uneven)
