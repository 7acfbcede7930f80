"""Activations as training asks for them, by row and view: from the cache, or computed on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cache.manifest import Manifest
from cache.storage.rows import Rows
from classify.commands.finetune.activations.filling import Part
from classify.training.batches import load_for_training
from extract.embedding.runner import Embedder
from extract.machine import usable_cores
from extract.pictures.augmentation import View
from extract.settings import Decoding


class Cached:
    """Activations of a data set in the cache: those of a part by its number as a view, but for rows that are lost."""

    def __init__(self, manifest: Manifest, parts: Sequence[Part], lost: np.ndarray) -> None:
        self._places = []  # of each row among the keys of the part, -1 where it has none
        self._rows = []
        for part in parts:
            present = part.rows[~np.isin(part.rows, lost)]
            place = np.full(len(manifest), -1)
            place[present] = np.arange(len(present))
            self._places.append(place)
            self._rows.append(Rows(part.extractor.store, manifest.key[present]))

    def take(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        """(b,) rows and (b,) views to (b, h, w, c) float32."""
        out: np.ndarray | None = None
        for view in np.unique(views):
            here = views == view
            places = self._places[view][rows[here]]
            if (places < 0).any():
                raise KeyError(f"no activations of view {view} for all of the rows asked for")
            found = self._rows[view].take(places)
            out = np.empty((len(rows), *found.shape[1:]), np.float32) if out is None else out
            out[here] = found
        assert out is not None
        return out


class Live:
    """Activations computed at each asking, in `views` by number; without an engine the decoded pictures themselves."""

    def __init__(
        self,
        manifest: Manifest,
        views: Sequence[View | None],
        size: int,
        decoding: Decoding,
        engine: Embedder | None,
    ) -> None:
        self._manifest, self._views, self._engine = manifest, views, engine
        self._size, self._decoding = size, decoding
        self._pool = ThreadPoolExecutor(usable_cores(), "live")
        self._lanes = None if engine is None else ThreadPoolExecutor(engine.lanes, "embed")

    def take(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        """(b,) rows and (b,) views to (b, h, w, c) float32, or (b, s, s, 3) uint8 without an engine."""
        pixels = np.stack(list(self._pool.map(self._pixels, rows.tolist(), views.tolist())))
        if self._engine is None or self._lanes is None:
            return pixels
        step = self._engine.batch_size
        parts = [pixels[start : start + step] for start in range(0, len(pixels), step)]
        return np.concatenate(list(self._lanes.map(self._engine.embed, parts)))

    def _pixels(self, row: int, view: int) -> np.ndarray:
        return load_for_training(
            self._manifest,
            row,
            self._size,
            self._decoding,
            self._views[view],
            again="extract, fit-head and finetune",
        )
