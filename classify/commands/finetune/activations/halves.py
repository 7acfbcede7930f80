"""The tuned network in its two halves: the frozen one by its engine, the other in Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from classify.commands.finetune.activations.reading import Live
from classify.commands.finetune.result import Tuned

if TYPE_CHECKING:
    import keras

COMPARED = 8  # pictures
TOLERANCE = 1e-3  # of a probability


class Halves:
    """Answers as the whole model does, in half the time: LiteRT is faster than Keras, and normalisation is folded.

    The whole model is asked for the first pictures, too. Where it says something else, it answers all.

    Parameters
    ----------
    whole : keras.Model
        (B, s, s, 3) uint8 to (B, C) probabilities.
    live : Live
        The frozen half.
    tuned : Tuned
        With the weights that `whole` has.
    temperature : float
        Of the logits.
    """

    def __init__(self, whole: keras.Model, live: Live, tuned: Tuned, temperature: float) -> None:
        self._whole, self._live, self._tuned, self._temperature = whole, live, tuned, temperature
        self._alike: bool | None = None

    def predict_on_batch(self, pixels: np.ndarray) -> np.ndarray:
        """(B, s, s, 3) uint8 RGB to (B, C) probabilities."""
        if self._alike is None:
            some = pixels[:COMPARED]
            difference = np.abs(np.asarray(self._whole.predict_on_batch(some)) - self._answer(some))
            self._alike = bool(difference.max() <= TOLERANCE)
        return self._answer(pixels) if self._alike else np.asarray(self._whole.predict_on_batch(pixels))

    def _answer(self, pixels: np.ndarray) -> np.ndarray:
        logits = np.asarray(self._tuned.model.predict_on_batch(self._live.embed(pixels)))
        return softmax(logits / self._temperature, axis=1)
