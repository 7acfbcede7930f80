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
    unseen: list[int]  # of the places that all nodes should see, by their number


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


def check_nodes(
    ray: Any, nodes: Sequence[Node], workspace: Path | None = None, picture: str | None = None
) -> None:
    """Make sure that each node has this code, and sees the workspace and the pictures.

    Parameters
    ----------
    ray : module
    nodes : sequence of Node
    workspace : Path, optional
        Its folder, if it is one: a file is written there that all nodes should see.
    picture : str, optional
        Address of one that all should see, if it is seen from here.

    Raises
    ------
    UserError
        Which names the nodes that do not, and what they lack.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    token = temporary_name(workspace / "ray") if workspace else None
    places = {picture: picture} if picture else {}
    if token:
        write_file(token, b"")
        places[str(token)] = f"the workspace {workspace}"
    try:
        mine = Found(*_looking(list(places))())
        there = [place for number, place in enumerate(places) if number not in mine.unseen]
        task = ray.remote(num_cpus=0, max_retries=0)(_looking(there, mine.code))
        asked = {
            task.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)
            ).remote(): node
            for node in nodes
        }
        answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=PATIENCE)
        wrong = [f"{asked[each].name} does not answer" for each in silent]
        for each in answered:
            name = asked[each].name
            try:
                found = Found(*ray.get(each))
            except (ray.exceptions.TaskUnschedulableError, ray.exceptions.OutOfMemoryError):
                continue  # it has died since it was listed; or workers will tell
            except ray.exceptions.RayError as error:
                wrong.append(f"{name}: {getattr(error, 'cause', None) or type(error).__name__}")
                continue
            if not found.code:
                wrong.append(f"{name} has no coldframe")
            elif found.code != mine.code:
                wrong.append(f"{name} has another coldframe (code {found.code}, here {mine.code})")
            wrong += [f"{name} does not see {places[there[number]]}" for number in found.unseen]
    finally:
        if token:
            token.unlink(missing_ok=True)
    if wrong:
        shared = ", and the workspace and the pictures on a folder that all of them share" if places else ""
        mount = ", or mount the folder at the same path" if places else ""
        raise UserError(
            f"Expected this version of coldframe on each node of the cluster{shared}; received: {'; '.join(wrong)}. "
            f"Install the same version there{mount}."
        )


def _looking(places: list[str], code: str = "") -> Callable[[], tuple[str, list[int]]]:
    """Make what looks around on a node: a closure travels whole, and runs where there is no package to import.

    It tells the hash of the package's code and, unless that is another than `code`, which of the places it cannot open.
    """

    def look() -> tuple[str, list[int]]:
        import hashlib
        import importlib.util
        import pathlib

        digest = hashlib.sha256()
        for name in ("cache", "extract", "classify"):
            spec = importlib.util.find_spec(name)
            if spec is None or not spec.submodule_search_locations:
                return "", []
            root = pathlib.Path(next(iter(spec.submodule_search_locations)))
            for path in sorted(root.rglob("*.py")):
                digest.update(f"{name}/{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
        found = digest.hexdigest()[:12]
        if code not in ("", found):
            return found, []

        from extract.sources.places.place import open_at

        unseen = []
        for number, place in enumerate(places):
            try:
                with open_at(place):
                    pass
            except (OSError, ValueError):
                unseen.append(number)
        return found, unseen

    return look
