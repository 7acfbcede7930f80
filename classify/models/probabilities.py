"""A model from pixels reads the test part."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from cache.manifest import Manifest
from extract.embedding.progress import seldom
from extract.pictures.decoding import RejectedImage
from extract.pictures.files import load_row
from extract.settings import Decoding

if TYPE_CHECKING:
    import keras

CHUNK = 64  # pictures decoded at a time


def answer(
    model: keras.Model,
    manifest: Manifest,
    rows: np.ndarray,
    size: int,
    decoding: Decoding,
    classes: int,
    say: Callable[[str], None],
) -> np.ndarray:
    """Probabilities (n, classes) of the pictures at n rows of a manifest; NaN where one cannot be read now.

    Parameters
    ----------
    model : keras.Model
        (B, size, size, 3) uint8 RGB to (B, classes) probabilities.
    manifest : Manifest
    rows : (n,) int
    size : int
        Side of the pictures in pixels.
    decoding : Decoding
    classes : int
    say : callable (line of text)
    """
    answers = np.full((len(rows), classes), np.nan)
    began, sometimes = time.monotonic(), seldom(say)
    for at in range(0, len(rows), CHUNK):
        pixels, found = [], []
        done = min(at + CHUNK, len(rows))
        for place in range(at, done):
            try:
                pixels.append(load_row(manifest, rows[place], size, decoding))
                found.append(place)
            except RejectedImage:
                continue  # counted in a note
        if found:
            answers[found] = np.asarray(model.predict_on_batch(np.stack(pixels)))
        left = (len(rows) - done) * (time.monotonic() - began) / done
        sometimes(f"test part: {done:,} of {len(rows):,} pictures, {left:.0f} s left")
    return answers
