"""The nodes of a cluster: which there are, and whether each can do the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cache.errors import UserError
from cache.storage.files import temporary_name, write_file
from extract.embedding.cluster.seats import Node

PATIENCE = 60.0  # seconds that a node has to answer; the first answer starts a process there


class Found(NamedTuple):
    """What a node has."""

    code: str  # hash of the package's code, empty without it
    missing: list[str]  # of the paths that all nodes should see


def nodes_of(ray: Any) -> list[Node]:
    """List the nodes that are alive and have a CPU to give."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    found = [
        Node(
            node["NodeID"],
            node["NodeManagerAddress"],
            int(node["Resources"].get("CPU", 0)),
            node["Resources"].get("GPU", 0.0),
        )
        for node in alive
    ]
    return [node for node in found if node.cpus]


def check_nodes(ray: Any, nodes: Sequence[Node], workspace: Path, picture: Path) -> None:
    """Make sure that each node has this code, and sees the workspace and the pictures.

    Parameters
    ----------
    ray : module
    nodes : sequence of Node
    workspace : Path
        Its folder; a file is written there that all nodes should see.
    picture : Path
        A file that should be there, too.

    Raises
    ------
    UserError
        Which names the nodes that do not, and what they lack.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    token = temporary_name(workspace / "ray")
    write_file(token, b"")
    look = _looking([str(token), str(picture)] if picture.exists() else [str(token)])
    try:
        task = ray.remote(num_cpus=0, max_retries=0)(look)
        asked = {
            task.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)
            ).remote(): node
            for node in nodes
        }
        answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=PATIENCE)
        mine, wrong = look(), [f"{asked[each].name} does not answer" for each in silent]
        for each in answered:
            try:
                found = Found(*ray.get(each))
            except ray.exceptions.RayError as error:
                lines = str(error).strip().splitlines() or [type(error).__name__]
                wrong.append(f"{asked[each].name}: {lines[-1]}")
                continue
            if not found.code:
                wrong.append(f"{asked[each].name} has no coldframe")
            elif found.code != mine[0]:
                wrong.append(f"{asked[each].name} has another coldframe (code {found.code}, here {mine[0]})")
            wrong += [f"{asked[each].name} does not see {_of(path, token)}" for path in found.missing]
    finally:
        token.unlink(missing_ok=True)
    if wrong:
        raise UserError(
            "Expected this version of coldframe on each node of the cluster, and the workspace and the pictures on a "
            f"folder that all of them share; received: {'; '.join(wrong)}. Install the same version there, or mount "
            "the folder at the same path."
        )


def _of(path: str, token: Path) -> str:
    return f"the workspace {token.parent}" if path == str(token) else path


def _looking(paths: list[str]) -> Callable[[], tuple[str, list[str]]]:
    """Make what looks around on a node: a closure travels whole, and runs where there is no package to import."""

    def look() -> tuple[str, list[str]]:
        import hashlib
        import importlib.util
        import os
        import pathlib

        digest = hashlib.sha256()
        for name in ("cache", "extract"):
            spec = importlib.util.find_spec(name)
            if spec is None or not spec.submodule_search_locations:
                return "", []
            root = pathlib.Path(next(iter(spec.submodule_search_locations)))
            for path in sorted(root.rglob("*.py")):
                digest.update(f"{name}/{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
        return digest.hexdigest()[:12], [path for path in paths if not os.path.lexists(path)]

    return look
