"""The part of a network that is trained, cut off at the border, with the head on it."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from classify.commands.finetune.network.batch_norm_folding import Folded
from classify.commands.finetune.network.border import Border
from classify.models.layers import LOGITS, attach_head
from classify.models.linear import LinearHead
from extract.backbones.backbone import Backbone
from extract.backbones.normalisation import normalised
from extract.backbones.preprocessing import preprocess


def build_top(
    network: keras.Model, border: Border, backbone: Backbone, head: LinearHead, *, any_size: bool = False
) -> keras.Model:
    """Build what is trained, from the border to the logits; its variables are those of `network`.

    Parameters
    ----------
    network : keras.Model
        The backbone, (B, s, s, 3) preprocessed to (B, h, w, c), functional. Of its layers only the border's
        own are left trainable.
    border : Border
    backbone : Backbone
        Says how feature maps become an embedding, and how pictures are preprocessed.
    head : LinearHead
    any_size : bool
        Take pictures of other sizes, too, or what lies below makes of them.

    Returns
    -------
    keras.Model
        Activations of the border layer (or (B, s, s, 3) uint8, where the border is the input) to (B, C) logits in
        float32, layer "logits". Normalisation is frozen, and folded where it can be.

    Raises
    ------
    ValueError
        Where a layer needs to know the size.
    """
    border.unfreeze(network)
    if border.layer:
        features = _cut(network, border.layer, any_size)
        inputs, maps = features.input, features.output
    else:
        side = None if any_size else backbone.input_size
        inputs = keras.Input((side, side, 3), dtype="uint8", name="pixels")
        whole = _rerun(network, any_size=True) if any_size else network
        maps = whole(preprocess(inputs, backbone.preprocessing))
    return keras.Model(inputs, attach_head(maps, backbone.pooling, head), name="top")


def set_head(model: keras.Model, head: LinearHead) -> None:
    """Put another head of the same scaling and classes on a top."""
    model.get_layer(LOGITS).set_weights([head.kernel, head.bias])


def read_head(model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (D, C) and bias (C,) of the head on a top, float32."""
    kernel, bias = model.get_layer(LOGITS).get_weights()
    return kernel, bias


def head_on(model: keras.Model, first: LinearHead, temperature: float) -> LinearHead:
    """The head that is on a top now, where `first` was put on it; its logits are divided by `temperature`."""
    kernel, bias = read_head(model)
    return replace(first, kernel=kernel / temperature, bias=bias / temperature)


def _cut(network: keras.Model, border: str, any_size: bool) -> keras.Model:
    """Cut off what lies above a layer, convolutions and their frozen normalisation made one; variables are shared."""
    above = keras.Model(network.get_layer(border).output, network.outputs[0])
    pairs = normalised(above).items()  # of those in groups no product of matrices can be made
    folded = {norm: Folded(layer, norm) for layer, norm in pairs if getattr(layer, "groups", 1) == 1}
    replaced = {layer.convolution: layer for layer in folded.values()}

    def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
        keywords.pop("mask", None)
        if layer in folded:
            return arguments[0]
        return replaced.get(layer, layer)(*arguments, **keywords)

    return _rerun(above, call, any_size=any_size)


def _rerun(model: keras.Model, call: Any = None, *, any_size: bool = False) -> keras.Model:
    """Lay the model's graph anew over the very same layers, each called by `call` if it is given."""
    inputs = None
    if any_size:
        (given,) = model.inputs
        inputs = keras.Input((*[None] * (len(given.shape) - 2), given.shape[-1]), dtype=given.dtype)
    return keras.models.clone_model(
        model, input_tensors=inputs, clone_function=lambda layer: layer, call_function=call
    )
