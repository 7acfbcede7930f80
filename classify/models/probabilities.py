"""A model from pixels reads the test part."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cache.manifest import Manifest
from classify.models.model_file import answering, ask
from extract.embedding.progress import seldom
from extract.pictures.decoding import RejectedImage
from extract.pictures.files import load_row
from extract.settings import Decoding

if TYPE_CHECKING:
    import keras

CHUNK = 16  # pictures at a time: on a CPU, more of them take longer each


def answer(
    model: keras.Model,
    manifest: Manifest,
    rows: np.ndarray,
    asked: Sequence[tuple[int, Decoding]],
    classes: int,
    say: Callable[[str], None],
    *,
    part: str = "test part",
) -> np.ndarray:
    """Probabilities (n, classes) of the pictures at n rows of a manifest; NaN where one cannot be read now.

    Parameters
    ----------
    model : keras.Model
        From `classify.models.layers`, pixels to (B, classes) probabilities.
    manifest : Manifest
    rows : (n,) int
    asked : sequence of (int, Decoding)
        How pictures become each of the squares that it takes.
    classes : int
    say : callable (line of text)
    part : str
        What these pictures are called.
    """
    answers = np.full((len(rows), classes), np.nan)
    classifier, began, sometimes = answering(model), time.monotonic(), seldom(say)
    for at in range(0, len(rows), CHUNK):
        pixels, found = [], []
        done = min(at + CHUNK, len(rows))
        for place in range(at, done):
            try:
                pixels.append([load_row(manifest, rows[place], *how) for how in asked])
                found.append(place)
            except RejectedImage:
                continue  # counted in a note
        if found:
            answers[found] = ask(classifier, [np.stack(squares) for squares in zip(*pixels, strict=True)])
        left = (len(rows) - done) * (time.monotonic() - began) / done
        sometimes(f"{part}: {done:,} of {len(rows):,} pictures, {left:.0f} s left")
    return answers
