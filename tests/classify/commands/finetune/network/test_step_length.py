"""A learning rate at which one step undoes what the head knows is lowered; others stay, and nothing else changes."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy.special import log_softmax

from classify.commands.finetune.network.border import find_border
from classify.commands.finetune.network.step_length import BATCHES, MOST, SHORTER, pace_of
from classify.commands.finetune.network.top import build_top
from classify.models.linear import LinearHead
from classify.training.batches import Batch, TrainingRows
from classify.training.loop import read, read_weights, train, write_weights
from classify.training.settings import Pace, Settings
from extract.backbones.backbone import Backbone
from tests.classify.training.test_loop import Fixed

N, CLASSES, CHANNELS = 96, 3, 32
CODES = np.arange(N) % CLASSES
BACKBONE = Backbone.of("efficientnet_lite0", input_size=64, pooling="avg")
SETTINGS = Settings(epochs=4, batch_size=8, views=0)


def case(variation: float, dropout: float = 0.0) -> tuple[keras.Model, TrainingRows, TrainingRows]:
    """A convolution on activations that tell the classes by so much of their size, with the head that fits them best.

    The less the features vary, the larger the head's kernel.
    """
    random = np.random.default_rng(0)
    signal = random.normal(size=(CLASSES, CHANNELS))[CODES] + 0.7 * random.normal(size=(N, CHANNELS))
    x = np.broadcast_to((2 + variation * signal)[:, None, None], (N, 2, 2, CHANNELS)).astype(np.float32)
    keras.utils.set_random_seed(0)
    parts = [layers.Conv2D(CHANNELS, 1, name="low"), layers.Conv2D(64, 1, name="high")]
    parts += [layers.Dropout(dropout, seed=1)] if dropout else []
    network = keras.Sequential([keras.Input((2, 2, CHANNELS)), *parts])
    maps = np.asarray(network(x), np.float32).mean(axis=(1, 2))
    mean, spread = maps.mean(axis=0), maps.std(axis=0)
    fitted = np.linalg.lstsq((maps - mean) / spread, 6 * (np.eye(CLASSES)[CODES] - 1 / CLASSES), rcond=1e-3)[
        0
    ]
    kernel = fitted / spread[:, None]
    head = LinearHead("none", kernel.astype(np.float32), (-mean @ kernel).astype(np.float32), ("a", "b", "c"))
    border = find_border(network, from_layer="high")
    model = build_top(network, border, BACKBONE, head)
    below = np.asarray(network.get_layer(border.layer)(x))
    rows = TrainingRows(Fixed(below), np.arange(N), CODES, CLASSES)
    return model, *(replace(rows, rows=part, codes=CODES[part]) for part in (np.arange(48), np.arange(48, N)))


GENTLE, HARSH = 0.1, 0.001


def test_a_step_that_is_short_enough_stays_as_it_is() -> None:
    model, fit, _ = case(GENTLE)
    pace = pace_of(model, fit, SETTINGS)
    assert pace.rate == pace.usual == SETTINGS.learning_rate and not pace.lowered
    assert 0 < pace.moved < MOST


def test_a_step_that_goes_too_far_is_shortened_until_it_does_not() -> None:
    """The very first step of AdamW is the learning rate times the gradient's sign: computed here by hand."""
    model, fit, _ = case(HARSH)
    pace = pace_of(model, fit, SETTINGS)
    assert pace.moved > MOST and pace.rate < SETTINGS.learning_rate / 10
    batches = [batch for batch, _ in zip(fit.epoch(1, 8, 0), range(BATCHES), strict=False)]
    head, loss_of = read_weights(model), keras.losses.CategoricalCrossentropy(from_logits=True)
    moved = {rate: [] for rate in (SETTINGS.learning_rate, pace.rate, pace.rate / SHORTER)}
    for batch in batches:
        signs = [np.sign(each) for each in gradients(model, loss_of, batch)]
        for rate, found in moved.items():
            for other in batches:
                if other is not batch:
                    write_weights(model, head)
                    p = log_softmax(np.asarray(model(other.x), np.float64), axis=1)
                    write_weights(model, [a - np.float32(rate) * b for a, b in zip(head, signs, strict=True)])
                    q = log_softmax(np.asarray(model(other.x), np.float64), axis=1)
                    found += (np.exp(p) * (p - q)).sum(axis=1).tolist()
            write_weights(model, head)
    usual, chosen, longer = map(np.mean, moved.values())
    assert pace.moved == pytest.approx(usual, rel=0.02)
    assert chosen < 1.1 * MOST and longer > 0.9 * MOST  # the rate is rounded


def gradients(model: keras.Model, loss_of: keras.losses.Loss, batch: Batch) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        loss = loss_of(batch.y, model(batch.x))
    return [np.asarray(each) for each in tape.gradient(loss, [v.value for v in model.trainable_variables])]


def test_half_precision_finds_the_same() -> None:
    """A first loss scale that is too large makes Keras leave a step out: then another is taken."""
    rates = []
    for policy in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        try:
            model, fit, _ = case(HARSH)
            rates.append(pace_of(model, fit, SETTINGS).rate)
        finally:
            keras.config.set_dtype_policy("float32")
    assert rates[1] == pytest.approx(rates[0], rel=0.5)


def test_a_rate_that_was_given_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    model, fit, _ = case(HARSH)
    monkeypatch.setattr(keras.Model, "train_on_batch", None)
    assert pace_of(model, fit, replace(SETTINGS, lr=0.5)) == Pace(0.5, 0.5)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_network_is_left_as_it_was(optimizer: str) -> None:
    model, fit, _ = case(HARSH, dropout=0.2)
    before = read(model.variables)
    pace = pace_of(model, fit, replace(SETTINGS, optimizer=optimizer))
    assert pace.lowered and any("seed" in v.path for v in model.variables)
    assert all(np.array_equal(a, v) for a, v in zip(before, read(model.variables), strict=True))


def test_a_single_batch_is_judged_by_itself() -> None:
    model, fit, _ = case(HARSH)
    few = replace(fit, rows=fit.rows[:6], codes=fit.codes[:6])
    assert 0 < pace_of(model, few, SETTINGS).rate < SETTINGS.learning_rate


def test_activations_that_are_no_numbers_change_nothing() -> None:
    model, fit, _ = case(GENTLE)
    x = np.full((N, 2, 2, CHANNELS), np.nan, np.float32)
    assert not pace_of(model, replace(fit, activations=Fixed(x)), SETTINGS).lowered


def test_the_first_epochs_do_not_forget_what_the_head_knows() -> None:
    accuracies = []
    for rate in (SETTINGS.learning_rate, None):
        model, fit, val = case(HARSH)
        pace = pace_of(model, fit, replace(SETTINGS, lr=rate))
        epochs = train(model, fit, val, replace(SETTINGS, lr=pace.rate)).epochs
        accuracies.append([epoch.val_accuracy for epoch in epochs])
    usual, chosen = accuracies
    assert min(usual[1:]) < usual[0] - 0.3
    assert min(chosen[1:]) >= chosen[0] - 0.01 > 0.9
