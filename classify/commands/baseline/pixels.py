"""The pictures a network from scratch is trained on: decoded once where they fit into memory, else in each epoch."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cache.manifest import Manifest
from classify.training.batches import load_for_training
from extract.embedding.progress import Say, seldom
from extract.machine import usable_cores
from extract.pictures.augmentation import View
from extract.settings import Decoding


class Pixels:
    """Pictures of some rows of a manifest, each asking another view of them: `Activations` of the input.

    Parameters
    ----------
    manifest : Manifest
    rows : (n,) int
        Rows that will be asked for.
    size : int
        Side in pixels.
    decoding : Decoding
    augment : str
        Policy of the views; "none" gives the plain pictures, whatever view is asked for.
    seed : int
        Of the views.
    """

    def __init__(
        self, manifest: Manifest, rows: np.ndarray, size: int, decoding: Decoding, augment: str, seed: int
    ) -> None:
        self._manifest, self._rows, self._size = manifest, rows, size
        self._decoding, self._augment, self._seed = decoding, augment, seed
        self._place = np.full(len(manifest), -1)
        self._place[rows] = np.arange(len(rows))
        self._held: np.ndarray | None = None
        self._pool = ThreadPoolExecutor(usable_cores(), "pixels")

    @property
    def bytes(self) -> int:
        """What `hold` takes: n * s * s * 3, of pictures a little larger where a view bends them."""
        return len(self._rows) * self._source**2 * 3

    def hold(self, say: Say) -> None:
        """Decode all pictures now, and keep them."""
        self._held = np.empty((len(self._rows), self._source, self._source, 3), np.uint8)
        began, sometimes = time.monotonic(), seldom(say)
        for done, picture in enumerate(self._pool.map(self._decoded, self._rows.tolist()), 1):
            self._held[done - 1] = picture
            rate = done / max(time.monotonic() - began, 1e-9)
            left = (len(self._rows) - done) / rate
            sometimes(
                f"decoding: {done:,} of {len(self._rows):,} pictures, {rate:.0f} a second, {left:.0f} s left"
            )

    def take(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        """(b,) rows and (b,) numbers of views to (b, s, s, 3) uint8 RGB."""
        return np.stack(list(self._pool.map(self._picture, rows.tolist(), views.tolist())))

    @property
    def _source(self) -> int:
        """Side of the decoded pictures."""
        return self._size if self._augment == "none" else View(self._augment, 1).source_size(self._size)

    def _picture(self, row: int, number: int) -> np.ndarray:
        source = self._decoded(row) if self._held is None else self._held[self._place[row]]
        if self._augment == "none":
            return source
        # From 1: no view is the plain picture, as with the layers of an input pipeline.
        view = View(self._augment, number + 1, self._seed)
        return view.apply(source, self._size, self._manifest.key[row].tobytes())

    def _decoded(self, row: int) -> np.ndarray:
        return load_for_training(self._manifest, row, self._source, self._decoding)
