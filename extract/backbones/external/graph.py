"""Models inside models laid open: one flat graph over the very same layers. Keras is imported when called."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

_WHERE = (
    " ",
    "Exception encountered when calling",
    "Graph execution error",
    "Detected at node",
    "<stack traces",
)
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


def flatten(model: "keras.Model", size: int, dtype: str = "float32") -> Any:
    """Run the graph of a model on an input of a fixed size, the graphs of the models inside it opened.

    A layer whose name is taken gets that of its model before its own. The layers are those of `model`, which cannot be
    used afterwards.

    Parameters
    ----------
    model : keras.Model
        Functional or Sequential, with one input (B, h, w, 3).
    size : int
        Side of the picture in pixels.
    dtype : str
        What the model wants to be fed with.

    Returns
    -------
    pixels : KerasTensor of shape (B, size, size, 3), float
    outputs : KerasTensor, or a list or dict of them
        As the model gives them.
    """
    import keras

    names: dict[str, Any] = {"pixels": None}
    for operation in graph_of(model).operations:
        names.setdefault(operation.name, operation)
    called = set()

    def call(operation: Any, *arguments: Any, prefix: str = "", **keywords: Any) -> Any:
        keywords.pop("mask", None)  # of the first call; a layer that needs one computes it anew
        inner = graph_of(operation)
        if inner is not None:
            return run(inner, arguments[0], f"{prefix}{operation.name}_")
        if getattr(operation, "_seed_generators", None) and operation._call_has_training_arg:
            keywords["training"] = False  # random layers take it for True where nobody says, as in an export
        if id(operation) not in called:
            called.add(id(operation))
            operation._inbound_nodes.clear()  # a layer's output is that of its first call, which is to be this one
            while names.setdefault(operation.name, operation) is not operation:
                operation.name = f"{prefix or 'outer_'}{operation.name}"
        return operation(*arguments, **keywords)

    def run(graph: Any, inputs: Any, prefix: str) -> Any:
        return graph._run_through_graph(
            inputs, call_fn=lambda operation, *a, **k: call(operation, *a, prefix=prefix, **k)
        )

    pixels = keras.Input((size, size, 3), name="pixels")
    fed = pixels if dtype.startswith(("float", "bfloat")) else keras.ops.cast(pixels, dtype)
    return pixels, run(graph_of(model), fed, "")


def graph_of(model: Any) -> Any:
    """The functional graph of a model; None for anything that shows none."""
    from keras import Model, Sequential

    if isinstance(model, Sequential):
        return getattr(model, "_functional", None)
    return model if isinstance(model, Model) and hasattr(model, "_run_through_graph") else None


def reason_of(error: Exception) -> str:
    """The line in which Keras says what is wrong, and none of those that say where it was met; without colors."""
    lines = [line.rstrip(" .") for line in _COLOR.sub("", str(error)).splitlines()]
    told = [line for line in lines if line and not line.startswith(_WHERE)]
    return told[0] if told else type(error).__name__
