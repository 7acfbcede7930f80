"""Which convolutions of a network have a normalisation behind them that can be made part of them."""

from collections import Counter
from typing import Any

import keras
from keras import layers

from extract.backbones.flow import sweep

CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D)


def normalised(model: keras.Model) -> dict[Any, Any]:
    """Find the convolutions of which a normalisation alone reads what they give, and that normalisation.

    Behind a convolution y = K x + b, a normalisation gamma (y - mean) / sqrt(variance + epsilon) + beta is again a
    convolution, of K times and b plus something for each channel (Jacob et al. 2018, arXiv 1712.05877, section 3.2),
    as long as it goes by its own mean and variance and not by those of a batch.

    Parameters
    ----------
    model : keras.Model
        Functional; models in it are not looked into.

    Returns
    -------
    dict of layer to layer
        Each is called once.
    """
    calls = [call for call, _ in sweep(model.outputs)]
    times = Counter(id(call.operation) for call in calls)
    readers: dict[int, list[Any]] = {id(tensor): [None] for tensor in model.outputs}
    for call in calls:
        for tensor in call.input_tensors:
            readers.setdefault(id(tensor), []).append(call)
    found = {}
    for call in calls:
        layer = call.operation
        if type(layer) not in CONVOLUTIONS or times[id(layer)] > 1:
            continue
        reader, *others = readers[id(call.outputs[0])]
        norm = reader and reader.operation
        if others or type(norm) is not layers.BatchNormalization or times[id(norm)] > 1:
            continue
        linear = layer.activation is keras.activations.linear and layer.data_format == "channels_last"
        own = not reader.arguments.kwargs.get("training")  # else by the batch's mean, which no weight is
        if linear and own and norm.axis in (-1, 3):
            found[layer] = norm
    return found
