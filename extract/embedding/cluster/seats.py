"""How many workers a cluster has room for, and of what size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cache.errors import UserError
from cache.text import counted

MOST = 4  # threads of a worker on CPUs: with more, those that read wait for one another


@dataclass(frozen=True)
class Node:
    """A machine of a cluster, with all that Ray may give away there."""

    id: str
    name: str
    cpus: int
    gpus: float


@dataclass(frozen=True)
class Seat:
    """Room for a worker: it reads, decodes and embeds in as many threads as it has CPUs."""

    node: Node
    cpus: int
    gpus: float


def seats(
    nodes: Sequence[Node], threads: int | None = None, workers: int | None = None, gpus: float = 1.0
) -> list[Seat]:
    """Divide a cluster among workers.

    Where there are GPUs, each worker has one, or a share of one, and of its node's CPUs as many as the others there;
    nodes without stay idle. Else each has up to four CPUs.

    Parameters
    ----------
    nodes : sequence of Node
    threads : int, optional
        CPUs of each worker.
    workers : int, optional
        How many; default: as many as there is room for.
    gpus : float
        Share of a GPU that each takes; 0: none.

    Raises
    ------
    UserError
        If there is no room for one, or for as many as are asked for.
    """
    on_gpus = gpus > 0 and any(node.gpus >= gpus for node in nodes)
    found: list[Seat] = []
    for size in [threads] if threads else [None, *range(MOST - 1, 0, -1)]:
        found = [seat for node in nodes for seat in _on(node, size, gpus if on_gpus else 0.0)]
        if found and len(found) >= (workers or 1):
            return found[:workers]
    room = ", ".join(f"{node.name} {node.cpus} CPU and {node.gpus:g} GPU" for node in nodes)
    asked = f"{counted(workers or 1, 'worker')} of {counted(threads or 1, 'CPU')}"
    asked += f" and {gpus:g} GPU" if on_gpus else ""
    raise UserError(
        f"Expected a cluster with room for {asked}, received one with room for {len(found)}: {room or 'no node'}. "
        "Lower --ray-workers or --workers (threads of each), or add nodes."
    )


def told(seats: Sequence[Seat]) -> str:
    """Say how many workers there are, and of what."""
    nodes, cpus = {seat.node.id for seat in seats}, sorted({seat.cpus for seat in seats})
    size = counted(cpus[0], "core") if len(cpus) == 1 else f"{cpus[0]} to {cpus[-1]} cores"
    gpus = f" and {seats[0].gpus:g} GPU" if seats[0].gpus else ""
    return f"{counted(len(seats), 'worker')} of {size}{gpus} on {counted(len(nodes), 'node')}"


def seated(ray: Any, kind: type, seat: Seat) -> Any:
    """Call an actor to a seat; elsewhere, if the node is gone by then."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    where = NodeAffinitySchedulingStrategy(seat.node.id, soft=True)
    size = {"num_cpus": seat.cpus, "num_gpus": seat.gpus}
    return ray.remote(kind).options(**size, max_restarts=0, scheduling_strategy=where).remote()


def _on(node: Node, size: int | None, gpus: float) -> list[Seat]:
    if gpus:
        most = int(node.gpus / gpus + 1e-6)
        cpus = size or max(1, node.cpus // max(1, most))
    else:
        most, cpus = node.cpus, size or max(1, min(MOST, node.cpus))
    return [Seat(node, cpus, gpus)] * min(most, node.cpus // cpus)
