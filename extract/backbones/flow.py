"""How data flows through a functional graph: its calls in order, and where all of it passes through one tensor."""

from collections.abc import Iterator
from typing import Any


def sweep(outputs: list[Any]) -> Iterator[tuple[Any, bool]]:
    """Yield each call of a layer or operation that `outputs` depend on, in an order in which data flows.

    Parameters
    ----------
    outputs : list of KerasTensor

    Yields
    ------
    node : keras.src.ops.node.Node
        The call.
    alone : bool
        Whether all data flows through what this call gives, one tensor. In a graph such a place is called an
        articulation point.

    Notes
    -----
    The tensors that are still to be used are counted: where the one just made is the only one, all data flows through
    it. Any such order finds all these places, as every other call comes either before or after each of them. Linear in
    the size of the graph.
    """
    # What comes from nowhere first: an input that is used above a layer goes past that layer.
    calls = sorted(_calls(outputs), key=lambda node: bool(node.input_tensors))
    uses: dict[int, int] = {id(tensor): 1 for tensor in outputs}  # read by whoever called the network
    for node in calls:
        for tensor in node.input_tensors:
            uses[id(tensor)] = uses.get(id(tensor), 0) + 1
    unused = 0
    for node in calls:
        for tensor in node.input_tensors:
            uses[id(tensor)] -= 1
            unused -= uses[id(tensor)] == 0
        unused += sum(id(tensor) in uses for tensor in node.outputs)
        yield node, unused == 1


def _calls(outputs: list[Any]) -> Iterator[Any]:
    """Yield each call that `outputs` depend on, after those that it depends on."""
    done: set[int] = set()
    waiting = [call_of(tensor) for tensor in reversed(outputs)]
    while waiting:
        node = waiting[-1]
        before = [call for call in map(call_of, node.input_tensors) if id(call) not in done]
        if id(node) not in done and before:
            waiting += before
            continue
        waiting.pop()
        if id(node) not in done:
            done.add(id(node))
            yield node


def call_of(tensor: Any) -> Any:
    """The call that gave a tensor."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]
