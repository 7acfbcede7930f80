"""A network small enough to be converted in a test, and pictures for it."""

from functools import cache
from pathlib import Path

import keras
import numpy as np
from keras import layers

SIZE = 24


def tiny_network() -> keras.Model:
    """A convolution, an inverted residual with its sum, and a top, each with its normalisation."""
    keras.utils.set_random_seed(0)
    x = entry = layers.Rescaling(1 / 128, -127 / 128)(pixels := keras.Input((SIZE, SIZE, 3), dtype="uint8"))

    def norm(x: keras.KerasTensor, activate: bool = True) -> keras.KerasTensor:
        x = layers.BatchNormalization()(x)
        return layers.ReLU(6.0)(x) if activate else x

    x = entry = norm(layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(x))
    x = norm(layers.Conv2D(24, 1, use_bias=False)(x))
    x = norm(layers.DepthwiseConv2D(3, padding="same")(x))
    x = norm(layers.Conv2D(8, 1)(x), activate=False)
    stage = layers.Add()([x, entry])
    top = norm(layers.Conv2D(16, 1)(stage))
    averages = [layers.GlobalAveragePooling2D()(x) for x in (stage, top)]
    model = keras.Model(pixels, layers.Concatenate()(averages), name="tiny")
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            shape = layer.gamma.shape
            gamma, variance = random.uniform(0.5, 2, shape), random.uniform(0.05, 0.5, shape)
            layer.set_weights([gamma, random.normal(0, 1, shape), random.normal(0, 0.2, shape), variance])
    return model


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """(n, s, s, 3) uint8: smooth ones, each of its own colours."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    waves = random.uniform(0, 6, (count, 1, 1, 3, 3))
    values = np.sin(waves[..., 0] * x[..., None] + waves[..., 1] * y[..., None] + waves[..., 2])
    return np.uint8(127.5 + 127.5 * values)


@cache
def float_file() -> bytes:
    """The network folded and converted."""
    from extract.backbones.backbone import Backbone
    from extract.engines.conversion import _float_file
    from extract.engines.folding import fold

    return _float_file(Backbone.of(), fold(tiny_network()))


def saved(folder: Path) -> str:
    """The name of the network as a backbone."""
    tiny_network().save(folder / "tiny.keras")
    return f"keras:{folder / 'tiny.keras'}"
