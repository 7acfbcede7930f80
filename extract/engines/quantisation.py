"""A float32 LiteRT network quantised to static 8-bit integers, one scale a channel of the weights.

Convolutions and the sums between them compute in integers. What averages or joins feature maps stays in float32: an
average of 8 bits has 256 values, and one scale would have to do for all that is joined. (Jacob et al. 2018, arXiv
1712.05877.)
"""

import contextlib
import copy
import hashlib
import io
import re
import warnings
from typing import Any

import numpy as np

from extract.backbones.calibration import Activation, Calibration
from extract.engines.flatbuffer import kind_of, read, write
from extract.engines.rounding import round_weights

BITS = 8
QUANTISED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "MUL", "PAD", "MAX_POOL_2D")
_FIRST = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "PAD",
)  # what precedes them prepares the pictures
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_LOWEST = 1e-4  # of a channel's weights against its bias: below, the bias has no 32-bit integer


class Unquantisable(ValueError):
    """The network has nothing to quantise, or the ranges are another network's."""


def measure(network: bytes, pixels: np.ndarray) -> Calibration:
    """Run a float32 network and note how far its activations reach, and the means of their channels.

    Parameters
    ----------
    network : bytes
        A LiteRT file.
    pixels : (n, s, s, 3) uint8
    """
    from ai_edge_litert.interpreter import Interpreter

    tensors = [tensor for tensor, _ in _activations(read(network))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the memory that it takes to keep all activations of a picture
        interpreter = Interpreter(model_content=network, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]

    def run(picture: np.ndarray) -> list[np.ndarray]:
        interpreter.set_tensor(source, picture[None])
        interpreter.invoke()
        return [a.reshape(-1, a.shape[-1]) for a in map(interpreter.get_tensor, tensors)]

    both = np.zeros_like(pixels[0])
    both[::2] = 255  # whatever the pictures hold, the network's input may reach so far
    entry = run(both)[0]
    low, high = np.full(len(tensors), np.inf), np.full(len(tensors), -np.inf)
    low[0], high[0] = entry.min(), entry.max()
    sums = [np.zeros(activation.shape[-1]) for activation in run(both)]
    for picture in pixels:
        for at, activation in enumerate(run(picture)):
            low[at], high[at] = min(low[at], activation.min()), max(high[at], activation.max())
            sums[at] += activation.mean(0, dtype=np.float64)
    means = [total / len(pixels) for total in sums]
    return Calibration(tuple(map(Activation.of, low, high, means)))


def quantise(network: bytes, calibration: Calibration) -> bytes:
    """Quantise a float32 LiteRT network.

    Raises
    ------
    Unquantisable
        If the ranges are not this network's, or nothing in it can be quantised.
    """
    from litert_quantizer.qtyping import TFLOperationName
    from litert_quantizer.quantizer import Quantizer

    model = read(network)
    graph, activations = model.subgraphs[0], _activations(model)
    known = calibration.activations
    if [channels for _, channels in activations] != [len(each.channel_means) for each in known]:
        raise Unquantisable(
            f"the calibration is of another network: it has {len(known)} activations, this one {len(activations)}"
        )
    names = {tensor: graph.tensors[tensor].name.decode() for tensor, _ in activations}
    if len(set(names.values())) != len(names):
        raise Unquantisable("tensors of it share a name")
    found = {tensor: each for (tensor, _), each in zip(activations, known, strict=True)}
    _round_weights(model, {tensor: each.channel_means for tensor, each in found.items()})
    ranges = {
        names[tensor]: {
            "min": np.full((1, 1, 1, 1), each.low, np.float32),
            "max": np.full((1, 1, 1, 1), each.high, np.float32),
        }
        for tensor, each in found.items()
    }
    quantizer = Quantizer(write(model))
    for kind in QUANTISED:
        quantizer.add_static_config(".*", TFLOperationName(kind), BITS, BITS)
    for operator in graph.operators[: _first(model)]:
        name = re.escape(graph.tensors[operator.outputs[0]].name.decode())
        quantizer.update_quantization_recipe(name, TFLOperationName("*"), algorithm_key="no_quantize")
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # a bar
        warnings.simplefilter("ignore")
        quantised = quantizer.quantize(ranges, enable_progress_report=False).quantized_model
    return _with_integer_pictures(bytes(quantised))


def hash_tensors(network: bytes) -> str:
    """SHA-256, hex, over the integers of a quantised network and what they stand for, in the order of its operations.

    Names, the file's layout and the operations around the integer ones are left out: they are TensorFlow's, and the
    next version's may be others.
    """
    model, digest = read(network), hashlib.sha256()
    graph = model.subgraphs[0]
    for operator in graph.operators:
        kind = kind_of(model, operator)
        if kind not in QUANTISED:
            continue
        digest.update(kind.encode())
        for index in (*operator.inputs, *operator.outputs):
            tensor = graph.tensors[index]
            scales = tensor.quantization
            if scales is None or scales.scale is None:
                continue
            digest.update(f"{tensor.type}{list(tensor.shape)}".encode())
            digest.update(np.asarray(scales.scale, "<f4").tobytes())
            digest.update(np.asarray(scales.zeroPoint, "<i8").tobytes())
            data = model.buffers[tensor.buffer].data
            if data is not None:
                digest.update(np.asarray(data, np.uint8).tobytes())
    return digest.hexdigest()


def _first(model: Any) -> int:
    """Position of the first operation that is not of the pictures' preparation."""
    operators = model.subgraphs[0].operators
    at = next((i for i, operator in enumerate(operators) if kind_of(model, operator) in _FIRST), None)
    if at is None or len(model.subgraphs) != 1:
        raise Unquantisable("it has no convolution")
    return at


def _activations(model: Any) -> list[tuple[int, int]]:
    """Tensor and channels of the first convolution's input, and of what each quantised operation gives, in order."""
    graph, first = model.subgraphs[0], _first(model)
    found = [graph.operators[first].inputs[0]]
    found += [o.outputs[0] for o in graph.operators[first:] if kind_of(model, o) in QUANTISED]
    return [(int(tensor), int(graph.tensors[tensor].shape[-1])) for tensor in found]


def _round_weights(model: Any, means: dict[int, np.ndarray]) -> None:
    """Replace weights by what their integers will stand for."""
    graph = model.subgraphs[0]
    for operator in graph.operators:
        kind = kind_of(model, operator)
        if kind not in _WEIGHTED or len(operator.inputs) < 3 or operator.inputs[2] < 0:
            continue
        weights, bias = (graph.tensors[index] for index in operator.inputs[1:3])
        values, shift = _values(model, weights), _values(model, bias)
        if values is None or shift is None:
            continue
        depthwise = kind == "DEPTHWISE_CONV_2D"  # (1, h, w, c), and others (c, ..., inputs)
        rows = values.reshape(-1, len(shift)).T.copy() if depthwise else values.reshape(len(shift), -1)
        # The bias becomes a 32-bit integer in steps of the input's times the weights'. A channel that training has
        # put out has weights of 1e-20, in which no such integer could count it.
        least = _LOWEST * np.abs(shift)
        for channel in np.flatnonzero(np.abs(rows).max(1) < least):
            rows[channel, 0] = least[channel]
        met = None if depthwise else means.get(int(operator.inputs[0]))
        met = np.ones(1) if met is None else met
        rows = round_weights(rows, np.resize(met, rows.shape[1]))
        values = (rows.T if depthwise else rows).reshape(values.shape)
        model.buffers[weights.buffer].data = np.frombuffer(values.astype("<f4").tobytes(), np.uint8)


def _values(model: Any, tensor: Any) -> np.ndarray | None:
    data = model.buffers[tensor.buffer].data
    return None if data is None else np.frombuffer(bytes(data), "<f4").reshape(tensor.shape).copy()


def _with_integer_pictures(network: bytes) -> bytes:
    """Turn uint8 into int8 at once where the float32 preparation in between amounts to that, for each of 256 values.

    So it is wherever a picture is scaled and shifted as a whole: CAST, MUL, ADD and QUANTIZE become one QUANTIZE.
    """
    model = read(network)
    graph = model.subgraphs[0]
    chain = graph.operators[:4]
    if [kind_of(model, operator) for operator in chain] != ["CAST", "MUL", "ADD", "QUANTIZE"]:
        return network
    scale, shift = (_values(model, graph.tensors[operator.inputs[1]]) for operator in chain[1:3])
    pixels, prepared = graph.tensors[chain[0].inputs[0]], graph.tensors[chain[3].outputs[0]]
    step, zero = np.float32(prepared.quantization.scale[0]), int(prepared.quantization.zeroPoint[0])
    if scale is None or shift is None or scale.size != 1 or shift.size != 1:
        return network
    values = np.arange(256)
    quantised = np.rint((values.astype(np.float32) * scale + shift).ravel() / step) + zero
    if not np.array_equal(quantised, values - 128):
        return network
    pixels.quantization = copy.deepcopy(prepared.quantization)
    pixels.quantization.zeroPoint = np.array([zero + 128])
    chain[3].inputs = chain[0].inputs
    graph.operators = graph.operators[3:]
    return write(model)
