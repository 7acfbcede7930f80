"""Activations that a fine-tune with a lower border has left in the cache, run up to the border of this one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cache.manifest import Manifest
from cache.space import LAYER
from cache.storage.store import Store
from cache.workspace import Workspace
from classify.commands.finetune.activations.filling import Part
from classify.commands.finetune.network.border import below, between
from extract.backbones.network import hash_weights
from extract.embedding.progress import Progress

if TYPE_CHECKING:
    import keras

HALF = 0.5  # of the layers below the border: TensorFlow, which runs the others, takes twice as long as LiteRT for each
BATCH = 64  # pictures
SEALED = 2**28  # bytes of a shard


def run_up(
    workspace: Workspace,
    manifest: Manifest,
    parts: Sequence[Part],
    network: keras.Model,
    layer: str,
    progress: Progress,
) -> tuple[list[Part], int]:
    """Compute what lacks activations of a layer from those of a lower one, the highest that has some: no file is read.

    Layers from the middle of what lies below the border on are asked. Both are stored in half precision mostly, so that
    what comes of it is rounded twice.

    Parameters
    ----------
    network : keras.Model
        The backbone, (B, s, s, 3) preprocessed to (B, h, w, c); nothing is done where it computes in half precision.
    layer : str
        The border.

    Returns
    -------
    parts : list of Part
        With what is left to do.
    found : int
        How many activations were computed so.
    """
    found: list[tuple[int, Store, keras.Model, np.ndarray]] = []
    left = [part.todo for part in parts]
    if network.compute_dtype == "float32":
        for name, stores, model in _lower(workspace, network, layer):
            for number, part in enumerate(parts):
                mine = part.extractor.space
                for store in stores:
                    same = replace(
                        mine, pooling=LAYER + name, weights=store.space.weights, dtype=store.space.dtype
                    )
                    if store.space == same:
                        there = store.contains(manifest.key[left[number]])
                        found.append((number, store, model, left[number][there]))
                        left[number] = left[number][~there]
    total = sum(len(rows) for _, _, _, rows in found)
    if total:
        progress.start(total)
        for number, store, model, rows in found:
            _run(store, parts[number].extractor.store, model, manifest.key[rows], progress)
    return [replace(part, todo=todo) for part, todo in zip(parts, left, strict=True)], total


def _lower(
    workspace: Workspace, network: keras.Model, layer: str
) -> Iterator[tuple[str, list[Store], keras.Model]]:
    """Layers below that activations of this very network are kept of, the highest first, and what lies between."""
    names = [each.name for each in network.layers]
    border, kept = names.index(layer), defaultdict[str, list[Store]](list)
    for store in workspace.spaces():
        if store.space.pooling.startswith(LAYER):
            kept[store.space.pooling.removeprefix(LAYER)].append(store)
    for name in reversed(names[int(HALF * border) : border]):
        if name not in kept:
            continue
        weights, model = hash_weights(below(network, name)), between(network, name, layer)
        stores = [store for store in kept[name] if store.space.weights == weights]
        if stores and model is not None:
            yield name, stores, model


def _run(lower: Store, upper: Store, model: keras.Model, keys: np.ndarray, progress: Progress) -> None:
    done: list[np.ndarray] = []
    for start in range(0, len(keys), BATCH):
        some = keys[start : start + BATCH]
        done.append(np.asarray(model.predict_on_batch(lower.gather(some)), upper.space.dtype))
        stop, count = start + len(some), sum(map(len, done))
        if stop == len(keys) or count * done[0][0].nbytes >= SEALED:
            upper.add(keys[stop - count : stop], np.concatenate(done))
            done.clear()
        progress.advance(len(some), 0)
