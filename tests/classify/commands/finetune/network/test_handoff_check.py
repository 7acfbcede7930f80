"""The check before the first step, on logits that are right, wrong, large, or no numbers."""

import keras
import numpy as np
import pytest

from cache.errors import UserError
from classify.commands.finetune.network.handoff_check import check
from classify.models.linear import LinearHead
from classify.training.batches import TrainingRows

EMBEDDING = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
KERNEL = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
HEAD = LinearHead("none", KERNEL, np.zeros(3, np.float32), ("a", "b", "c"))


class Said:
    """Activations that are the logits themselves."""

    def __init__(self, logits: np.ndarray) -> None:
        self._logits = logits

    def take(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        return self._logits[rows].astype(np.float32)


def checked(logits: np.ndarray, head: LinearHead = HEAD, half: bool = False) -> float:
    entry = keras.Input((3,))
    model = keras.Model(entry, keras.layers.Activation("linear")(entry))
    live = TrainingRows(Said(logits), np.arange(10), np.zeros(10, int), 3)
    return check(model, head, EMBEDDING, live, 4, half=half)


def test_equal_logits_pass_and_their_difference_is_told() -> None:
    logits = HEAD.logits(EMBEDDING)
    logits[3, 1] += 5e-4
    assert checked(logits) == pytest.approx(5e-4, rel=1e-2)


@pytest.mark.parametrize("wrong", [0.01, -0.01, np.nan])
def test_one_wrong_logit_stops_with_its_numbers(wrong: float) -> None:
    logits = HEAD.logits(EMBEDDING)
    right = logits[7, 2]
    logits[7, 2] += wrong
    with pytest.raises(UserError, match="cache verify") as error:
        checked(logits)
    if wrong == wrong:
        assert f"{right:.5f} (class c), and 1 pictures" in str(error.value)


def test_large_logits_may_differ_by_what_float32_cannot_hold() -> None:
    large = LinearHead("none", 1000 * KERNEL, HEAD.bias, HEAD.classes)
    logits = large.logits(EMBEDDING)
    place = np.unravel_index(np.abs(logits).argmax(), logits.shape)
    logits[place] *= 1 + 5e-6
    assert 1e-3 < checked(logits, large) < 0.1
    logits[place] *= 1 + 1e-4
    with pytest.raises(UserError):
        checked(logits, large)


def test_half_precision_is_allowed_more() -> None:
    logits = HEAD.logits(EMBEDDING)
    logits[0, 0] += 0.05
    assert checked(logits, half=True) == pytest.approx(0.05, rel=1e-2)
    with pytest.raises(UserError):
        checked(logits)
