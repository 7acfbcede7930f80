"""A Ray of three nodes on this machine that stays whole while the machine is busy, and is the same before each test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from extract.embedding.cluster.connection import import_ray

NODES = 3
END = 600.0  # seconds after which what does not come is taken for lost; far more than it takes
_SMALL = {"object_store_memory": 80 * 2**20}
_PATIENT = {  # a slow node answers late, and is no dead one; where nobody listens any more one is gone in seconds
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 300_000,
    "health_check_failure_threshold": 5,
    "worker_register_timeout_seconds": 600,
    "agent_register_timeout_ms": 600_000,
    "gcs_server_request_timeout_seconds": 300,
}


class Raylets:
    """Three nodes with a core each, and one without, to which this process is connected."""

    def __init__(self) -> None:
        self.ray = import_ray()
        from ray.cluster_utils import Cluster

        spare = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
        head = {"num_cpus": 0, "_system_config": _PATIENT, **spare}
        self.cluster = Cluster(initialize_head=True, head_node_args=_SMALL | head)
        self.ray.init(self.cluster.address, logging_level="ERROR", log_to_driver=False)
        self._own = set[Any]()

    def add(self, **options: Any) -> Any:
        """Add a node, and wait until it is there; Ray itself waits for half a minute, three times here."""
        for last in (False, False, True):
            before = set(self.cluster.worker_nodes)
            try:
                node = self.cluster.add_node(wait=False, **_SMALL, **options)
                break
            except Exception:
                for half in self.cluster.worker_nodes - before:
                    self.cluster.remove_node(half, allow_graceful=False)
                if last:
                    raise
        wait_until(lambda: node.node_id in self.alive())
        return node

    def kill(self, node: Any) -> None:
        """Kill a node with all its processes, without waiting until the others notice."""
        self.cluster.remove_node(node, allow_graceful=False)

    def restore(self) -> None:
        """Have three idle nodes again, whatever a test has left."""
        for node in self.cluster.worker_nodes - self._own:
            self.kill(node)
        self._own &= self.cluster.worker_nodes
        while len(self._own) < NODES:
            self._own.add(self.add(num_cpus=1))
        there = {node.node_id for node in self._own}
        wait_until(lambda: self.alive() == there)
        wait_until(lambda: self.free() == NODES)

    def alive(self) -> set[str]:
        """Ids of the nodes with cores that Ray believes to be alive."""
        return {node["NodeID"] for node in self.ray.nodes() if node["Alive"] and "CPU" in node["Resources"]}

    def free(self) -> float:
        """How many cores nothing holds."""
        return float(self.ray.available_resources().get("CPU", 0))

    def close(self) -> None:
        """End all of it."""
        self.ray.shutdown()
        self.cluster.shutdown()


def wait_until(there: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + END
    while not there():
        assert time.monotonic() < end
        time.sleep(0.05)
