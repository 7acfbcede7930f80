"""The lower part of a network, cut from the LiteRT file of the whole: nothing is converted a second time."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from extract.backbones.backbone import Backbone
from extract.backbones.network import below, hash_weights
from extract.backbones.preprocessing import preprocess
from extract.engines import network_cache
from extract.engines.conversion import Unconvertible, compare
from extract.engines.flatbuffer import read, write
from extract.engines.network_cache import Network
from extract.settings import EVERY_STAGE, POOLINGS

if TYPE_CHECKING:
    import keras


def know_lower_part(lower: Backbone, network: keras.Model) -> None:
    """Put a network up to a layer among those that are known, if the whole one is there for LiteRT.

    Where it is not, where the layer is no tensor of the file, or where what was cut off answers otherwise than Keras,
    nothing is done: the lower part is then converted like any network.

    Parameters
    ----------
    lower : Backbone
        With the pooling "layer:NAME", in float32.
    network : keras.Model
        The whole, (B, s, s, 3) preprocessed to feature maps.
    """
    import keras

    if network_cache.find(lower) is not None:
        return
    assert lower.layer is not None
    for pooling in (EVERY_STAGE, *POOLINGS):
        whole = network_cache.find(replace(lower, pooling=pooling))
        data = cut(whole.model_path.read_bytes(), lower.layer) if whole is not None and whole.model else None
        if data is None:
            continue
        pixels = keras.Input((lower.input_size, lower.input_size, 3), dtype="uint8")
        model = keras.Model(pixels, below(network, lower.layer)(preprocess(pixels, lower.preprocessing)))
        try:
            compare(lower, model, data)
        except Unconvertible:
            continue
        found = Network(hash_weights(model), int(model.output_shape[-1]), int(model.count_params()))
        network_cache.remember(lower, replace(found, model=network_cache.keep_model(data)))
        return


def cut(network: bytes, layer: str) -> bytes | None:
    """Cut a LiteRT file off above a layer; None where none of its tensors bears that layer's name.

    TensorFlow calls a tensor "model/layer/operation"; where it has made one operation of several, their names stand
    behind each other, the last operation's first.
    """
    model = read(network)
    graph = model.subgraphs[0]
    named = re.compile(rf"/{re.escape(layer)}(_[0-9]+)?/")

    def is_end(tensor: int) -> bool:
        return bool(named.search(graph.tensors[tensor].name.decode().partition(";")[0]))

    ends = [operator.outputs[0] for operator in graph.operators if is_end(operator.outputs[0])]
    if len(model.subgraphs) != 1 or not ends:
        return None
    graph.outputs = [ends[-1]]
    kept, used = list[Any](), {*graph.inputs, ends[-1]}
    for operator in reversed(graph.operators):
        if used.intersection(operator.outputs):
            kept.append(operator)
            used.update(tensor for tensor in (*operator.inputs, *operator.outputs) if tensor >= 0)
    graph.operators = kept[::-1]
    held = {graph.tensors[tensor].buffer for tensor in used}
    for number, buffer in enumerate(model.buffers):
        if number not in held:
            buffer.data = None
    model.signatureDefs = []
    return write(model)
