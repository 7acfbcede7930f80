"""How far one step moves the head's answers, and the highest learning rate at which that is not too far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import keras
import numpy as np
from scipy.special import log_softmax

from classify.training.batches import Batch, TrainingRows
from classify.training.loop import compile_with, read, read_weights, seeds_of, write, write_weights
from classify.training.settings import Pace, Settings

MOST = 3.0  # nats; of photographs 0.4 to 1.7, of digits 5 to 46
BATCHES = 4  # a step is tried on each, and judged by the others
SHORTER = 0.5**0.5
LEAST = 1 / 256  # of the optimizer's own learning rate
SKIPPED = 16  # steps that half precision may leave out until its loss has a scale that fits


def pace_of(model: keras.Model, fit: TrainingRows, settings: Settings) -> Pace:
    """Find the highest learning rate at which one step from the head moves its answers by 3 nats at most.

    The step of Adam and its kin is as long as the learning rate, however small the gradient. What it does to the
    answers is a matter of the head: one that was fitted on features that hardly vary has a large kernel. So a step is
    taken on each of some batches, from the head, and shortened until the answers to the other batches move by no more
    than `MOST`: the mean Kullback-Leibler divergence of the new probabilities from the head's. No picture that
    validates is looked at.

    Parameters
    ----------
    model : keras.Model
        Activations to (B, C) logits, with the head on it; left as it was, but not compiled.
    fit : TrainingRows
    settings : Settings
        Where a learning rate was given, it stays, and nothing is tried.
    """
    highest = settings.learning_rate
    if settings.lr is not None:
        return Pace(highest, highest)
    batches = list(islice(fit.epoch(1, settings.batch_size, settings.seed), BATCHES))
    # Four steps are not worth being laid out as a graph, the many answers are.
    compile_with(model, replace(settings, schedule="constant", average=0.0), len(batches), eagerly=True)
    asked = keras.Model(model.inputs, model.outputs)
    head, seeds = read_weights(model), read(seeds_of(model))
    before = [_log_probabilities(asked, batch) for batch in batches]
    ends = [_after_a_step(model, head, batch) for batch in batches]
    share = 1.0
    moved = first = _moved(asked, head, ends, batches, before, share)
    while not moved <= MOST and share > LEAST:
        share *= SHORTER
        moved = _moved(asked, head, ends, batches, before, share)
    write(seeds_of(model), seeds)
    if not np.isfinite(moved):  # of the head's own answers, too: training will say so
        return Pace(highest, highest)
    rate = float(f"{highest * share:.2g}") if share < 1 else highest
    return Pace(rate, highest, first if np.isfinite(first) else None)


def _after_a_step(model: keras.Model, head: Sequence[np.ndarray], batch: Batch) -> list[np.ndarray]:
    """Weights after the optimizer's very first step, taken from the head."""
    fresh = read(model.optimizer.variables)
    for _ in range(SKIPPED):
        model.train_on_batch(batch.x, batch.y, sample_weight=batch.weight)
        after = read_weights(model)
        if any(not np.array_equal(a, b) for a, b in zip(after, head, strict=True)):
            break
    write(model.optimizer.variables, fresh)
    write_weights(model, head)
    return after


def _moved(
    asked: keras.Model,
    head: Sequence[np.ndarray],
    ends: Sequence[Sequence[np.ndarray]],
    batches: Sequence[Batch],
    before: Sequence[np.ndarray],
    share: float,
) -> float:
    """Mean divergence, in nats, of the answers after that share of each step, on the batches it was not taken on."""
    found = []
    for own, end in enumerate(ends):
        write_weights(asked, [a + np.float32(share) * (b - a) for a, b in zip(head, end, strict=True)])
        others = [number for number in range(len(batches)) if number != own] or [own]
        for number in others:
            after = _log_probabilities(asked, batches[number])
            found.append((np.exp(before[number]) * (before[number] - after)).sum(axis=1))
    write_weights(asked, head)
    return float(np.concatenate(found).mean())


def _log_probabilities(asked: keras.Model, batch: Batch) -> np.ndarray:
    return log_softmax(np.asarray(asked.predict_on_batch(batch.x)).astype(np.float64), axis=1)
