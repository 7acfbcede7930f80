"""Activations that a fine-tune with a lower border has left in the cache, run up to the border of this one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cache.manifest import Manifest
from cache.space import LAYER, Space
from cache.storage.store import Store
from cache.workspace import Workspace
from classify.commands.finetune.activations.filling import Part
from classify.commands.finetune.network.border import cut_between
from extract.backbones.network import below, hash_weights
from extract.embedding.progress import Progress
from extract.embedding.runner import SEAL_BYTES

if TYPE_CHECKING:
    import keras

HALF = 0.5  # of the layers below the border: TensorFlow, which runs the others, takes twice as long as LiteRT for each
BATCH = 64  # pictures


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
    work: list[tuple[Store, Store, keras.Model, np.ndarray]] = []
    left = [part.todo for part in parts]
    for lower, model in _lower(workspace, network, layer):
        for number, part in enumerate(parts):
            if _alike(lower.space, part.extractor.space):
                there = lower.contains(manifest.key[left[number]])
                work.append((lower, part.extractor.store, model, manifest.key[left[number][there]]))
                left[number] = left[number][~there]
    total = sum(len(keys) for *_, keys in work)
    if total:
        progress.start(total)
        for each in work:
            _run(*each, progress)
    return [replace(part, todo=todo) for part, todo in zip(parts, left, strict=True)], total


def _lower(workspace: Workspace, network: keras.Model, layer: str) -> Iterator[tuple[Store, keras.Model]]:
    """Where activations of this very network are kept below the layer, the highest first; and what lies between."""
    if network.compute_dtype != "float32":
        return
    names = [each.name for each in network.layers]
    border, kept = names.index(layer), defaultdict[str, list[Store]](list)
    for store in workspace.spaces():
        if store.space.pooling.startswith(LAYER):
            kept[store.space.pooling.removeprefix(LAYER)].append(store)
    for name in reversed(names[int(HALF * border) : border]):
        if name not in kept:
            continue
        weights, model = hash_weights(below(network, name)), cut_between(network, name, layer)
        if model is not None:
            yield from ((store, model) for store in kept[name] if store.space.weights == weights)


def _alike(lower: Space, upper: Space) -> bool:
    """Whether two spaces differ by the layer alone, and by the type that is stored."""
    return replace(upper, pooling=lower.pooling, weights=lower.weights, dtype=lower.dtype) == lower


def _run(lower: Store, upper: Store, model: keras.Model, keys: np.ndarray, progress: Progress) -> None:
    dtype = np.dtype(upper.space.dtype)
    shard = max(1, SEAL_BYTES // (dtype.itemsize * int(np.prod(model.output_shape[1:]))))
    for start in range(0, len(keys), shard):
        sealed, rows = keys[start : start + shard], []
        for at in range(0, len(sealed), BATCH):
            some = sealed[at : at + BATCH]
            rows.append(np.asarray(model.predict_on_batch(lower.gather(some)), dtype))
            progress.advance(len(some), 0)
        upper.add(sealed, np.concatenate(rows))
