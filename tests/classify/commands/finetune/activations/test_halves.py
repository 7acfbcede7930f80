"""Both halves of a network answer for the whole, unless it says something else."""

from functools import cache

import keras
import numpy as np
import pytest
from keras import layers

from classify.commands.finetune.activations.halves import COMPARED, Halves
from classify.commands.finetune.activations.reading import Live
from classify.commands.finetune.network.border import Border
from classify.commands.finetune.result import Tuned
from extract.backbones.backbone import Backbone
from extract.settings import Decoding

TEMPERATURE = 2.0


class Whole:
    """The model of pixels; counts the pictures it was asked for."""

    def __init__(self, off: float = 0.0) -> None:
        self.asked, self._off = list[int](), off

    def predict_on_batch(self, pixels: np.ndarray) -> np.ndarray:
        self.asked.append(len(pixels))
        logits = np.stack([pixels.mean(axis=(1, 2, 3)) / 255, np.full(len(pixels), 0.5)], axis=1)
        odds = np.exp(logits / TEMPERATURE)
        return odds / odds.sum(axis=1, keepdims=True) + [self._off, -self._off]


class Bottom:
    """Brightness, picture by picture."""

    batch_size, lanes = 2, 2

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        assert len(pixels) <= 2
        return pixels.mean(axis=(1, 2, 3), keepdims=True)[..., :1].astype(np.float32) / 255


@cache
def tuned() -> Tuned:
    inputs = keras.Input((1, 1, 1))
    dense = layers.Dense(2)
    top = keras.Model(inputs, dense(layers.Flatten()(inputs)))
    dense.set_weights([np.float32([[1, 0]]), np.float32([0, 0.5])])
    return Tuned(Backbone.of(input_size=32), Decoding(), top, Border("low", "high", ("high",)), top)


def live() -> Live:
    return Live(None, [None], 4, Decoding(), Bottom())  # type: ignore[arg-type]


@pytest.mark.parametrize("off", [0.0, 2e-3, np.nan])
def test_the_halves_answer_unless_the_whole_says_something_else(off: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (21, 4, 4, 3), np.uint8)
    whole = Whole(off)
    halves = Halves(whole, live(), tuned(), TEMPERATURE)  # type: ignore[arg-type]
    found = np.concatenate([halves.predict_on_batch(part) for part in (pixels[:16], pixels[16:])])
    np.testing.assert_allclose(found, Whole(off).predict_on_batch(pixels), atol=1e-6)
    assert whole.asked == ([COMPARED, 16, 5] if off else [COMPARED])
