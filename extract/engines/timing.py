"""What a backbone costs a picture on this machine: measured once, and kept beside its embeddings."""

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.json_file import DamagedJson, check, read_json, write_json
from cache.storage.store import Store
from cache.versions import versions
from extract.engines.engine import Engine
from extract.machine import usable_cores
from extract.pictures.decoding import RejectedImage
from extract.pictures.files import load_row
from extract.settings import Decoding

AT_LEAST = 3.0  # seconds of measuring: a shared machine's speed varies
PASSES = 3  # at least
STEPS = 4  # batches a lane in one pass
SHOWN = 32  # pictures that an engine is timed on, over and over


def cost_of(
    store: Store,
    engine: str,
    start: Callable[[], Engine],
    pixels: Callable[[], np.ndarray],
    batch_size: int | None = None,
    *,
    again: bool = False,
) -> float:
    """What a picture costs in a space: recalled where this machine has measured it before, else measured and kept.

    A space of int8, of stages or of another size has a store, and so a cost, of its own.

    Parameters
    ----------
    store : Store
    engine : str
        Name of the engine, as `Extractor.engine`.
    start : callable () -> Engine
        As `Extractor.start`; called only where there is something to measure.
    pixels : callable () -> ndarray of shape (n, s, s, 3), dtype uint8
        As `pixels_of`; called only then.
    batch_size : int, optional
        As it was asked for; default: the engine's own.
    again : bool
        Measure even where it is known.

    Returns
    -------
    float
        Milliseconds a picture of the network alone, all lanes at work, pictures decoded before.
    """
    known = None if again else recall_cost(store, engine, batch_size)
    if known is not None:
        return known
    shown = pixels()
    cost = milliseconds(start(), shown)
    keep_cost(store, engine, batch_size, cost)
    return cost


def pixels_of(manifest: Manifest, size: int, decoding: Decoding) -> np.ndarray:
    """Decode the first pictures of a hashed manifest that can be read: (n, size, size, 3) uint8, n at most `SHOWN`.

    Raises
    ------
    UserError
        Where there is none.
    """
    found = list[np.ndarray]()
    for row in range(len(manifest)):
        try:
            found.append(load_row(manifest, row, size, decoding))
        except RejectedImage:
            continue  # embedded once, and gone since
        if len(found) == SHOWN:
            break
    if not found:
        raise UserError(
            f"Expected pictures in {manifest.root}, to measure costs with, found none. Put them back."
        )
    return np.stack(found)


def milliseconds(engine: Engine, pixels: np.ndarray) -> float:
    """Time an engine on pictures that are decoded already: the median pass, after one to warm up.

    Parameters
    ----------
    engine : Engine
        All of its lanes work at once, as in an extraction.
    pixels : ndarray of shape (n, s, s, 3), dtype uint8
        Any n above 0; they are repeated as often as a pass needs.

    Returns
    -------
    float
        Milliseconds a picture.
    """
    size = engine.batch_size * engine.lanes * STEPS
    batches = np.array_split(pixels[np.arange(size) % len(pixels)], engine.lanes * STEPS)
    with ThreadPoolExecutor(engine.lanes, "timing") as pool:

        def once() -> float:
            began = time.perf_counter()
            for _ in pool.map(engine.embed, batches):
                pass
            return time.perf_counter() - began

        once()
        began, passes = time.perf_counter(), list[float]()
        while len(passes) < PASSES or time.perf_counter() - began < AT_LEAST:
            passes.append(once())
    return 1000 * float(np.median(passes)) / size


def recall_cost(store: Store, engine: str, batch_size: int | None) -> float | None:
    """Milliseconds a picture as measured before on this machine with this engine's versions; None if never.

    batch_size : as it was asked for; None: the engine's own
    """
    try:
        cost = check(read_json(_file(store, engine, batch_size)), milliseconds=float).get("milliseconds")
    except (OSError, DamagedJson):
        return None
    return cost if cost is not None and 0 < cost < math.inf else None


def keep_cost(store: Store, engine: str, batch_size: int | None, cost: float) -> None:
    """Keep a measurement for `recall_cost`."""
    content = {"milliseconds": cost, **_circumstances(engine, batch_size)}
    write_json(_file(store, engine, batch_size), content)


def _circumstances(engine: str, batch_size: int | None) -> dict[str, Any]:
    """What a measurement is good for."""
    return {
        "engine": engine,
        "batch_size": batch_size,
        "machine": platform.node(),
        "processor": platform.machine(),
        "cores": usable_cores(),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "all"),
        "versions": versions("ai-edge-litert", "keras"),
    }


def _file(store: Store, engine: str, batch_size: int | None) -> Any:
    facts = json.dumps(_circumstances(engine, batch_size), sort_keys=True)
    name = hashlib.sha256(facts.encode()).hexdigest()[:16]
    return store.folder / f"timing-{name}.json"
