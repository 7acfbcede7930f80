"""The border between the part of a network that stays frozen and the part that is trained.

All data flows from input to output through the border, so that what comes out of it can be kept like an embedding,
and the layers above it run on that alone. In a graph such a place is called an articulation point. Keras is imported
when called.
"""

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from extract.backbones.flow import sweep

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Border:
    """Where a network is cut, and what trains above.

    Parameters
    ----------
    layer : str
        The last layer of the frozen part; empty: nothing worth keeping lies below what trains, all of it runs.
    first : str
        The first layer of the range that was asked for; those between border and range run frozen.
    trainable : tuple of str
        Layers of the range that have weights to train, but no BatchNormalization. One inside another model is
        ``outer/inner``.
    shape : tuple of int
        Of the border's output, without the batch axis.
    parameters : int
        Numbers that train.
    """

    layer: str
    first: str
    trainable: tuple[str, ...]
    shape: tuple[int | None, ...] = ()
    parameters: int = 0

    def describe(self) -> str:
        """One line for people."""
        shape = " x ".join("?" if side is None else str(side) for side in self.shape)
        where = f"border after {self.layer} ({shape})" if self.layer else "no border, the whole network runs"
        count, number = len(self.trainable), self.parameters
        size = f"{number / 1e6:.1f} M" if number >= 100_000 else f"{number:,}"
        return f"{where}; {count} layer{'s' * (count != 1)} with {size} parameters train"

    def unfreeze(self, network: "keras.Model") -> None:
        """Set what trains in `network`: the layers named here and no other; every BatchNormalization is frozen."""
        network.trainable = True  # a frozen model hides the weights of all its layers
        for path, layer in _leaves(network.layers):
            layer.trainable = path in self.trainable
            for part in _norms(layer):
                part.trainable = False


def find_border(
    network: "keras.Model", *, top: int | None = None, from_layer: str | None = None, everything: bool = False
) -> Border:
    """Find the border below the layers that shall train; give exactly one of the three.

    The border is the highest layer such that all data flows through its one output and no weight that trains lies at
    or below it. Layers of the range that hold no weights to train do not keep it down.

    Parameters
    ----------
    network : keras.Model
        A Functional or Sequential model; it is not changed.
    top : int
        The last so many layers, as Keras counts them: ``network.layers[-top:]``.
    from_layer : str
        The layer of that name, or of that index as text, and all after it: ``network.layers[index:]``.
    everything : bool
        All layers.

    Raises
    ------
    UserError
        If there is no such layer, nothing to train from there on, or the network does not show its layers.
    """
    layers = _visible_layers(network)
    start = _start(network.name, layers, top, from_layer, everything)
    leaves = [(path, leaf) for path, leaf in _leaves(layers[start:]) if _own_weights(leaf)]
    if not leaves:
        count = next((n for n, layer in enumerate(reversed(layers), 1) if _trains(layer)), 0)
        advice = (
            f"Ask for at least {count} layers from the top." if count else "Nothing in it can be trained."
        )
        raise UserError(
            f"Expected weights to train from layer {layers[start].name} of {network.name} on, received layers "
            f"without any: BatchNormalization stays frozen. {advice}"
        )
    border = _cut(network, {id(layer) for layer in layers[start:] if _trains(layer)})
    return Border(
        layer=border.name if border is not None else "",
        first=layers[start].name,
        trainable=tuple(path for path, _ in leaves),
        shape=tuple(border.output.shape[1:]) if border is not None else (),
        parameters=sum(math.prod(weight.shape) for _, leaf in leaves for weight in _own_weights(leaf)),
    )


def cut_between(network: "keras.Model", lower: str, upper: str) -> "keras.Model | None":
    """What makes a layer's output of a lower one's; None where not all data flows through that."""
    import keras

    try:
        return keras.Model(network.get_layer(lower).output, network.get_layer(upper).output)
    except ValueError:
        return None


def _visible_layers(network: "keras.Model") -> list[Any]:
    from keras.layers import InputLayer

    layers = list(network.layers)
    inner = [layer for layer in layers if not isinstance(layer, InputLayer)]
    if not getattr(network, "outputs", None) or len(inner) < 2:
        named = f"only {inner[0].name}, which hides its own" if len(inner) == 1 else "none that are connected"
        raise UserError(
            f"Expected a network that shows its layers (a Functional or Sequential Keras model), received "
            f"{network.name} with {named}. Train a head on its embeddings, or choose another backbone."
        )
    return layers


def _start(name: str, layers: list[Any], top: int | None, from_layer: str | None, everything: bool) -> int:
    """Turn what was asked for into the index of the first layer of the range."""
    if (top is not None) + (from_layer is not None) + everything != 1:
        raise UserError(
            "Expected one way to say what trains: top, from_layer or everything; received another number."
        )
    if everything:
        return 0
    if top is not None:
        if not 1 <= top <= len(layers):
            raise UserError(f"Expected 1 to {len(layers)} layers from the top of {name}, received {top}.")
        return len(layers) - top
    names = [layer.name for layer in layers]
    if from_layer in names:
        return names.index(from_layer)
    if from_layer is not None and from_layer.isdecimal() and int(from_layer) < len(layers):
        return int(from_layer)
    near = difflib.get_close_matches(str(from_layer), names, cutoff=0.5) or names[-3:]
    raise UserError(
        f"Expected a layer of {name} such as {', '.join(near)}, or its index from 0 to {len(layers) - 1}; received "
        f"{from_layer!r}."
    )


def _cut(network: "keras.Model", trains: set[int]) -> Any:
    """Return the highest layer through which all data flows before any of `trains` (ids) is called; None if none."""
    from keras.layers import InputLayer, Layer

    found, costly = None, False
    for node, alone in sweep(network.outputs):
        layer = node.operation
        if id(layer) in trains:
            break
        if not isinstance(layer, Layer) or isinstance(layer, InputLayer):
            continue
        costly = costly or _trains(layer)  # below the first weights nothing is saved by keeping it
        # The output that a layer's name stands for is that of its first call, and of a model that of its own graph.
        if alone and costly and layer.output is node.outputs[0]:
            found = layer
    return found


def _leaves(layers: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and layer of each layer that is no model, models opened; no name holds a slash."""
    import keras

    for layer in layers:
        if isinstance(layer, keras.Model) and layer.layers:
            yield from _leaves(layer.layers, f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, layer


def _trains(layer: Any) -> bool:
    return bool(_own_weights(layer))


def _own_weights(layer: Any) -> list[Any]:
    """List the weights of a layer that are made to be trained, whether they are frozen now or not."""
    norms = {id(weight) for norm in _norms(layer) for weight in norm.weights}
    made = [weight for part in layer._flatten_layers() for weight in part._trainable_variables]
    return [weight for weight in {id(weight): weight for weight in made}.values() if id(weight) not in norms]


def _norms(layer: Any) -> list[Any]:
    from keras import layers

    return [part for part in layer._flatten_layers() if isinstance(part, layers.BatchNormalization)]
