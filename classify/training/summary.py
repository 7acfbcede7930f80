"""The layers of a model as text."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from cache.text import align


def summary_text(network: Any) -> str:
    """List the layers of a Keras model, inner models opened up, with output shape, parameters, and which of them train.

    Not `Model.summary`: that one wraps its lines, and cuts columns off, at the width of the terminal it happens
    to run in.
    """
    rows = [("layer", "type", "output", "parameters", "trains"), *_rows(network, "")]
    total = network.count_params()
    trained = sum(prod(weight.shape) for weight in network.trainable_weights)
    counts = [("parameters", f"{total:,}"), ("trained", f"{trained:,}"), ("frozen", f"{total - trained:,}")]
    return f"{network.name}\n\n{align(rows, right=[3])}\n\n{align(counts, right=[1])}\n"


def output_shape(layer: Any) -> str:
    """Name the shape of what a layer gives, without the batch: "14 x 14 x 112"; "?" for one not yet called."""
    try:
        shape = _first(layer.output).shape[1:]
    except (AttributeError, ValueError):
        return "?"
    return " x ".join("?" if side is None else str(side) for side in shape) or "1"


def _rows(model: Any, indent: str) -> Iterator[tuple[str, str, str, str, str]]:
    for layer in model.layers:
        trained = sum(prod(weight.shape) for weight in layer.trainable_weights)
        every = trained == layer.count_params()
        trains = "" if not trained else "yes" if every else f"{trained:,}"
        kind = type(layer).__name__
        yield indent + layer.name, kind, output_shape(layer), f"{layer.count_params():,}", trains
        if getattr(layer, "layers", None):
            yield from _rows(layer, indent + "  ")


def _first(output: Any) -> Any:
    return _first(output[0]) if isinstance(output, list | tuple) else output
