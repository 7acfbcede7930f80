"""Batch normalisation folded into the convolution before it, in float64: the same numbers on every machine.

Behind a convolution y = K x + b, a normalisation gamma (y - mean) / sqrt(variance + epsilon) + beta is again a
convolution, of K times and b plus something for each channel (Jacob et al. 2018, arXiv 1712.05877, section 3.2).
TensorFlow does it while it converts, with the processor's own approximations.
"""

from collections import Counter
from typing import Any

import keras
import numpy as np
from keras import layers

from extract.backbones.external.graph import graph_of
from extract.backbones.flow import sweep

FOLDABLE = (layers.Conv2D, layers.DepthwiseConv2D)


def fold(model: keras.Model) -> keras.Model:
    """Rebuild a functional model, and the models in it, without the normalisations that stand behind a convolution."""
    convolutions = _normalised(model)
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


def _normalised(model: keras.Model) -> dict[Any, Any]:
    """The convolutions of which a normalisation alone reads what they give, and that normalisation."""
    calls = [call for call, _ in sweep(model.outputs)]
    times = Counter(id(call.operation) for call in calls)
    readers: dict[int, list[Any]] = {id(tensor): [None] for tensor in model.outputs}
    for call in calls:
        for tensor in call.input_tensors:
            readers.setdefault(id(tensor), []).append(call)
    found = {}
    for call in calls:
        layer = call.operation
        if type(layer) not in FOLDABLE or times[id(layer)] > 1:
            continue
        reader, *others = readers[id(call.outputs[0])]
        norm = reader and reader.operation
        if others or type(norm) is not layers.BatchNormalization or times[id(norm)] > 1:
            continue
        if reader.arguments.kwargs.get("training"):  # by the batch's own mean, which no weight is
            continue
        # In half precision a normalisation computes in float32, and the folded kernel would not.
        exact = layer.compute_dtype == norm.compute_dtype == "float32"
        linear = layer.activation is keras.activations.linear and layer.data_format == "channels_last"
        if exact and linear and norm.axis in (-1, 3):
            found[layer] = norm
    return found


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
