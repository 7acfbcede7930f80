"""Networks and the head behind them joined in one LiteRT file, operation by operation: each computes as in its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cache.errors import UserError

SIGNATURE = "serving_default"  # what TensorFlow calls the only way to ask a model


def merge(networks: Sequence[tuple[str, bytes]], head: bytes) -> bytes:
    """Join LiteRT files.

    Parameters
    ----------
    networks : sequence of (name, file)
        Each takes (1, s, s, 3) uint8, at an input of the merged model with this name, and gives a row (1, D). Those of
        one name share it.
    head : bytes
        A file with a signature, whose inputs row_1, row_2, ... take what the networks give.

    Returns
    -------
    bytes
        A file with one signature, from the named inputs to what the head gives.
    """
    from ai_edge_litert import schema_py_generated as schema

    merged, squares = _Merged(schema), dict[str, int]()
    rows = {}
    for number, (name, network) in enumerate(networks, 1):
        model = _read(schema, network)
        (source,), (target,) = model.subgraphs[0].inputs, model.subgraphs[0].outputs
        place = merged.add(model, {source: squares[name]} if name in squares else {})
        squares[name], rows[f"row_{number}"] = place[source], place[target]
    model = _read(schema, head)
    (signature,) = model.signatureDefs
    takes = {each.tensorIndex: rows[each.name.decode()] for each in signature.inputs}
    place = merged.add(model, takes)
    outputs = {each.name.decode(): place[each.tensorIndex] for each in signature.outputs}
    return merged.write(squares, outputs)


def _read(schema: Any, file: bytes) -> Any:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(file), 0))
    if len(model.subgraphs) != 1:
        raise UserError(
            "Expected a network without branches or loops, to join it with its head in one LiteRT file, received one "
            "that has some. Extract and fit with another backbone, or with --precision float32, and export that run."
        )
    for buffer in model.buffers:
        if buffer.size:  # its data are behind everything else in the file, as litert-quantizer writes them
            buffer.data = np.frombuffer(file, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


class _Merged:
    """A model to which graphs are added one behind the other."""

    def __init__(self, schema: Any) -> None:
        self._schema, self._model, self._graph = schema, schema.ModelT(), schema.SubGraphT()
        self._model.version, self._model.description = 3, "coldframe"
        self._model.buffers, self._model.operatorCodes = [schema.BufferT()], []  # the first buffer is empty
        self._graph.name, self._graph.tensors, self._graph.operators = "main", [], []
        self._model.subgraphs = [self._graph]

    def add(self, model: Any, known: dict[int, int]) -> dict[int, int]:
        """Add the graph of a model; `known` tensors are there already. Returns where each of its tensors is now."""
        buffers, codes = len(self._model.buffers), len(self._model.operatorCodes)
        self._model.buffers += model.buffers
        self._model.operatorCodes += model.operatorCodes
        place = dict(known) | {-1: -1}  # an optional input that is not given
        for index, tensor in enumerate(model.subgraphs[0].tensors):
            if index not in place:
                place[index] = len(self._graph.tensors)
                tensor.buffer += buffers
                self._graph.tensors.append(tensor)
        for operator in model.subgraphs[0].operators:
            operator.opcodeIndex += codes
            for name in ("inputs", "outputs", "intermediates"):
                listed = getattr(operator, name)
                if listed is not None:
                    setattr(operator, name, np.array([place[int(each)] for each in listed], np.int32))
            self._graph.operators.append(operator)
        return place

    def write(self, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        """Return the file."""
        import flatbuffers

        signature = self._schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs, signature.outputs = self._named(inputs), self._named(outputs)
        self._model.signatureDefs = [signature]
        self._graph.inputs = np.array(list(inputs.values()), np.int32)
        self._graph.outputs = np.array(list(outputs.values()), np.int32)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _named(self, tensors: dict[str, int]) -> list[Any]:
        named = []
        for name, index in tensors.items():
            each = self._schema.TensorMapT()
            each.name, each.tensorIndex = name, index
            named.append(each)
        return named
