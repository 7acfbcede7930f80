"""To be in a Ray cluster, or to start one here, quietly."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cache.errors import UserError
from extract.machine import usable_cores

LOCAL = "local"
SECONDS = 10.0  # in which a cluster has to answer
_CODE = Path(__file__).parents[3]  # where this package lies
_OBJECTS = 100 * 2**20  # bytes: what is handed round are names, keys and counts
_OFF = {  # before Ray is imported: it reports home, warns of what does not concern us, and is nice, unless told not to
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # of 15 by default: beside anything else a worker would hardly be given a core
}


def import_ray() -> Any:
    """Import Ray with its reports off; UserError where it is not installed."""
    for name, value in _OFF.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "Expected the package ray for --ray, found none. Run `pip install ray`, here and on each node."
        ) from error
    return ray


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Be connected to a cluster while the block runs; yields the module `ray`.

    Parameters
    ----------
    address : str
        What `ray.init` takes: auto, HOST:PORT or ray://HOST:PORT; `local` starts one of this machine's cores, which
        asks for a token and ends with the block. A connection that is there already is used, and left.

    Raises
    ------
    UserError
        If there is no cluster, or one of another version of Ray or Python.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    here: dict[str, Any] = {"address": address}
    if address not in (LOCAL, "auto"):
        _knock(address)
    if address == LOCAL:
        here |= {"num_cpus": usable_cores(), "include_dashboard": False, "object_store_memory": _OBJECTS}
    try:
        with contextlib.chdir(_CODE):  # from where it is called, Ray would have its workers import modules
            ray.init(**here, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise _nobody(address, reason[0]) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Make sure that somebody listens: Ray would try for minutes."""
    match = re.fullmatch(r"(?:ray://)?\[?(.+?)\]?:(\d{1,5})", address)
    if match is None:
        raise _nobody(address, "that is no address.")
    try:
        socket.create_connection((match[1], int(match[2])), SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _nobody(address, f"{error}.") from error


def _nobody(address: str, reason: str) -> UserError:
    return UserError(
        f"Expected a Ray cluster at {address}, but: {reason} Pass auto on one of its machines, HOST:PORT (as "
        "`ray start --head` names it) or ray://HOST:PORT; or --ray alone for a Ray of this machine."
    )
