"""A float32 LiteRT network quantised to static 8-bit integers, one scale a channel of the weights.

Convolutions and the sums between them compute in integers. What averages or joins feature maps stays in float32: an
average of 8 bits has 256 values, and one scale would have to do for all that is joined. (Jacob et al. 2018, arXiv
1712.05877.)
"""

import contextlib
import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from extract.backbones.calibration import Calibration

BITS = 8
QUANTISED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "MUL", "PAD", "MAX_POOL_2D")
_FIRST = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "PAD",
)  # what precedes them prepares the pictures
_LOWEST = 1e-4  # of a channel's weights against its bias: below, the bias has no 32-bit integer


class Unquantisable(ValueError):
    """The network has nothing to quantise, or the ranges are another network's."""


def measure(network: bytes, pixels: np.ndarray) -> Calibration:
    """Run a float32 network and note how far its activations reach.

    Parameters
    ----------
    network : bytes
        A LiteRT file.
    pixels : (n, s, s, 3) uint8

    Returns
    -------
    Calibration
    """
    from ai_edge_litert.interpreter import Interpreter

    tensors = [tensor for tensor, _ in _activations(network)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the memory that it takes to keep all activations of a picture
        interpreter = Interpreter(model_content=network, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]

    def reach(picture: np.ndarray, tensors: list[int]) -> list[tuple[float, float]]:
        interpreter.set_tensor(source, picture[None])
        interpreter.invoke()
        return [(float(a.min()), float(a.max())) for a in map(interpreter.get_tensor, tensors)]

    both = np.zeros_like(pixels[0])
    both[::2] = 255  # whatever the pictures hold, the network's input may reach so far
    found = np.array([reach(picture, tensors) for picture in pixels])  # (n, tensors, 2)
    low, high = found[..., 0].min(0), found[..., 1].max(0)
    low[0], high[0] = reach(both, tensors[:1])[0]
    channels = [count for _, count in _activations(network)]
    ends = ((_shortest(a), _shortest(b)) for a, b in zip(low, high, strict=True))
    return Calibration(tuple((a, b, count) for (a, b), count in zip(ends, channels, strict=True)))


def _shortest(number: float) -> float:
    """The number with the fewest digits that is the same in float32."""
    return float(str(np.float32(number)))


def quantise(network: bytes, calibration: Calibration) -> bytes:
    """Quantise a float32 LiteRT network.

    Raises
    ------
    Unquantisable
        If the ranges are not this network's, or nothing in it can be quantised.
    """
    from litert_quantizer.qtyping import TFLOperationName
    from litert_quantizer.quantizer import Quantizer

    activations = _activations(network)
    if [channels for _, channels in activations] != [channels for *_, channels in calibration.ranges]:
        raise Unquantisable(
            f"the calibration has {len(calibration.ranges)} ranges, of another network than this with "
            f"{len(activations)}"
        )
    model = _read(_with_weights_for_biases(network))
    graph = model.subgraphs[0]
    names = {tensor: graph.tensors[tensor].name.decode() for tensor, _ in activations}
    if len(set(names.values())) != len(names):
        raise Unquantisable("tensors of it share a name")
    ranges = {
        names[tensor]: {
            "min": np.full((1, 1, 1, 1), low, np.float32),
            "max": np.full((1, 1, 1, 1), high, np.float32),
        }
        for (tensor, _), (low, high, _) in zip(activations, calibration.ranges, strict=True)
    }
    quantizer = Quantizer(_write(model))
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
    model, digest = _read(network), hashlib.sha256()
    graph = model.subgraphs[0]
    for operator in graph.operators:
        kind = _kind(model, operator)
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


# ---- the flatbuffer


def _read(network: bytes) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(network), 0))


def _write(model: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _kind(model: Any, operator: Any) -> str:
    from ai_edge_litert import schema_py_generated as schema

    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next(name for name, value in vars(schema.BuiltinOperator).items() if value == number)


def _first(model: Any) -> int:
    """Position of the first operation that is not of the pictures' preparation."""
    operators = model.subgraphs[0].operators
    at = next((i for i, operator in enumerate(operators) if _kind(model, operator) in _FIRST), None)
    if at is None or len(model.subgraphs) != 1:
        raise Unquantisable("it has no convolution")
    return at


def _activations(network: bytes) -> list[tuple[int, int]]:
    """Tensor and channels of the first convolution's input, and of what each quantised operation gives, in order."""
    model = _read(network)
    graph, first = model.subgraphs[0], _first(model)
    found = [graph.operators[first].inputs[0]]
    found += [o.outputs[0] for o in graph.operators[first:] if _kind(model, o) in QUANTISED]
    return [(int(tensor), int(graph.tensors[tensor].shape[-1])) for tensor in found]


def _constants(model: Any, kinds: tuple[str, ...]) -> Iterator[tuple[str, Any, Any]]:
    for operator in model.subgraphs[0].operators:
        kind = _kind(model, operator)
        if kind in kinds and len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            tensors = [model.subgraphs[0].tensors[index] for index in operator.inputs[1:3]]
            yield kind, *tensors


def _with_weights_for_biases(network: bytes) -> bytes:
    """Give a channel whose weights are next to nothing one that its bias can be counted in.

    A bias is a 32-bit integer in steps of the input's times the weights'. A channel that training has put out has
    weights of 1e-20, and no integer would be large enough.
    """
    model = _read(network)
    for kind, weights, bias in _constants(model, ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")):
        if model.buffers[weights.buffer].data is None or model.buffers[bias.buffer].data is None:
            continue
        values = np.frombuffer(bytes(model.buffers[weights.buffer].data), "<f4").reshape(weights.shape).copy()
        shift = np.frombuffer(bytes(model.buffers[bias.buffer].data), "<f4")
        rows = (
            values.reshape(-1, len(shift)).T
            if kind == "DEPTHWISE_CONV_2D"
            else values.reshape(len(shift), -1)
        )
        least = _LOWEST * np.abs(shift)
        for channel in np.flatnonzero(np.abs(rows).max(1) < least):
            rows[channel, 0] = least[channel]
        values = rows.T.reshape(weights.shape) if kind == "DEPTHWISE_CONV_2D" else rows.reshape(weights.shape)
        model.buffers[weights.buffer].data = np.frombuffer(values.astype("<f4").tobytes(), np.uint8)
    return _write(model)


def _with_integer_pictures(network: bytes) -> bytes:
    """Take uint8 for int8 where the float32 preparation in between, (x + b) a to (x - 128), amounts to it exactly."""
    return network
