"""LiteRT's files as objects that can be changed."""

from typing import Any

import numpy as np


def read(network: bytes) -> Any:
    """Read a file into the objects of LiteRT's schema."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(network), 0))
    for buffer in model.buffers:
        if buffer.offset > 1:  # behind the flatbuffer, where large tensors may lie
            buffer.data = np.frombuffer(network, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def write(model: Any) -> bytes:
    """Write such objects as a file."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def kind_of(model: Any, operator: Any) -> str:
    """Name the kind of an operator, as "CONV_2D"."""
    from ai_edge_litert import schema_py_generated as schema

    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next(name for name, value in vars(schema.BuiltinOperator).items() if value == number)
