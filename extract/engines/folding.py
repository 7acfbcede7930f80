"""Batch normalisation folded into the convolution before it, in float64: the same numbers on every machine.

TensorFlow does it while it converts, with the processor's own approximations.
"""

from typing import Any

import keras
import numpy as np
from keras import layers

from extract.backbones.external.graph import graph_of
from extract.backbones.normalisation import normalised


def fold(model: keras.Model) -> keras.Model:
    """Rebuild a functional model, and the models in it, without the normalisations that stand behind a convolution."""
    # In half precision a normalisation computes in float32, and the folded kernel would not.
    convolutions = {layer: norm for layer, norm in normalised(model).items() if _in_float32(layer, norm)}
    norms = set(convolutions.values())

    def clone(layer: Any) -> Any:
        if graph_of(layer) is not None:
            return fold(layer)
        return _with_bias(layer) if layer in convolutions else layer

    def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
        if layer in norms:
            return keras.tree.flatten((arguments, keywords))[0]
        return layer(*arguments, **keywords)

    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    folded = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for convolution, norm in convolutions.items():
        folded.get_layer(convolution.name).set_weights(_folded_weights(convolution, norm))
    return folded


def _in_float32(convolution: Any, norm: Any) -> bool:
    return convolution.compute_dtype == norm.compute_dtype == "float32"


def _with_bias(layer: Any) -> Any:
    return type(layer).from_config(layer.get_config() | {"use_bias": True})


def _folded_weights(convolution: Any, norm: Any) -> list[np.ndarray]:
    """Kernel and bias, float32."""
    kernel = np.asarray(convolution.kernel, np.float64)
    bias = 0.0 if convolution.bias is None else np.asarray(convolution.bias, np.float64)
    scale = 1 / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)
    if norm.gamma is not None:
        scale = scale * np.asarray(norm.gamma, np.float64)
    shift = 0.0 if norm.beta is None else np.asarray(norm.beta, np.float64)
    shift = shift + (bias - np.asarray(norm.moving_mean, np.float64)) * scale
    depthwise = isinstance(convolution, layers.DepthwiseConv2D)
    return [
        np.asarray(kernel * (scale.reshape(kernel.shape[2:]) if depthwise else scale), np.float32),
        np.asarray(shift, np.float32),
    ]
