"""Batch normalisation folded into the convolution before it, in float64: the same numbers on every machine.

Behind a convolution y = K x + b, a normalisation gamma (y - mean) / sqrt(variance + epsilon) + beta is again a
convolution, of K times and b plus something for each channel (Jacob et al. 2018, arXiv 1712.05877, section 3.2).
TensorFlow does it while it converts, with the processor's own approximations.
"""

from typing import Any

import keras
import numpy as np
from keras import layers


def fold(model: keras.Model) -> keras.Model:
    """Rebuild a model, and the models in it, without the normalisations that stand behind a convolution."""
    convolutions = {layer: norm for layer in model.layers if (norm := _norm_behind(layer, model)) is not None}
    norms = set(convolutions.values())

    def clone(layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return fold(layer)
        return _with_bias(layer) if layer in convolutions else layer

    def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
        return arguments[0] if layer in norms else layer(*arguments, **keywords)

    folded = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for convolution, norm in convolutions.items():
        folded.get_layer(convolution.name).set_weights(_folded_weights(convolution, norm))
    return folded


def _norm_behind(layer: Any, model: keras.Model) -> Any:
    """The normalisation that alone reads what a convolution gives; None if there is none."""
    if type(layer) not in (layers.Conv2D, layers.DepthwiseConv2D) or len(layer._inbound_nodes) != 1:
        return None
    inside = set(model.layers)
    readers = [node.operation for node in layer._outbound_nodes if node.operation in inside]
    fits = (
        len(readers) == 1
        and all(layer.output is not output for output in model.outputs)
        and isinstance(readers[0], layers.BatchNormalization)
        and len(readers[0]._inbound_nodes) == 1
        and layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
        and readers[0].axis in (-1, 3)
    )
    return readers[0] if fits else None


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
