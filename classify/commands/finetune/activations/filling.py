"""Which activations are in the cache, and how those that are not get there: a file is read once for all its views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cache.manifest import Manifest
from cache.space import LAYER
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.embedding.extractor import Extractor, embed_all
from extract.embedding.progress import Progress
from extract.embedding.runner import Outcome
from extract.engines.engine import Engine
from extract.pictures.augmentation import View
from extract.settings import Decoding, Options


def at_layer(backbone: Backbone, layer: str) -> Backbone:
    """The backbone up to a layer, whose output is what is read."""
    return replace(backbone, pooling=LAYER + layer)


def planned_bytes(shape: tuple[int, ...], dtype: str, pictures: int) -> int:
    """Size of the cached activations of so many pictures, each in one view."""
    return pictures * int(np.prod(shape)) * np.dtype(dtype).itemsize


@dataclass(frozen=True)
class Part:
    """A view of some rows of a manifest: where its activations are kept, and which rows lack them."""

    extractor: Extractor
    rows: np.ndarray
    todo: np.ndarray  # rows without activations


def open_parts(
    workspace: Workspace,
    backbone: Backbone,
    decoding: Decoding,
    options: Options,
    manifest: Manifest,
    wanted: Sequence[tuple[View | None, np.ndarray]],
    engine: Engine,
) -> list[Part]:
    """Look up which activations are in the cache.

    Parameters
    ----------
    backbone : Backbone
        With the pooling "layer:NAME" of the border.
    manifest : Manifest
        Hashed rows only.
    wanted : sequence of (view, rows)
        By number of the view; the rows of the manifest that need it.
    engine : Engine
        Runs the backbone, in every view.
    """
    parts = []
    for view, rows in wanted:
        extractor = Extractor(workspace, backbone, decoding, options, view=view, started=engine)
        parts.append(Part(extractor, rows, rows[~extractor.store.contains(manifest.key[rows])]))
    return parts


def fill(manifest: Manifest, parts: Sequence[Part], progress: Progress) -> np.ndarray:
    """Compute the activations that are not in the cache yet.

    Pictures that lack the same parts are one run, which reads each file once, whatever view and size.

    Returns
    -------
    lost : (n,) int
        Rows that could not be read this time, or have changed; nothing of them is to be asked for.
    """
    lacking = np.zeros((len(manifest), len(parts)), bool)
    for number, part in enumerate(parts):
        lacking[part.todo, number] = True
    for views in np.unique(lacking[lacking.any(axis=1)], axis=0):
        some = [part.extractor for part, lacks in zip(parts, views, strict=True) if lacks]
        # A copy: the keys by which pictures are known are not to be those of files that have changed.
        mine = manifest.select(np.flatnonzero((lacking == views).all(axis=1)))
        embed_all(some, mine, np.arange(len(mine)), progress, [Outcome() for _ in some])
    lost = np.zeros(len(manifest), bool)
    for part in parts:
        lost[part.todo[~part.extractor.store.contains(manifest.key[part.todo])]] = True
    return np.flatnonzero(lost)
