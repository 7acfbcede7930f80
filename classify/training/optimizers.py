"""Optimizers by name, with a learning rate that falls over the epochs and over the layers."""

from __future__ import annotations

from typing import Any

import keras

from classify.training.settings import Settings

CLASSES = {
    "adamw": keras.optimizers.AdamW,
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
}
CLIP = 5.0  # norm of all gradients together: the slope of the root scaling is steep near zero


def make_optimizer(settings: Settings, model: keras.Model, steps: int) -> keras.optimizers.Optimizer:
    """Make the optimizer for the trainable variables of `model`, with `steps` steps an epoch.

    The learning rate rises during the first epoch: AdamW's first steps are as long as its later ones, whatever the
    gradients, and undo part of what the head knows.

    The weights are averaged over the steps of about `average` epochs, of half of the training at most. Keras begins
    with the weights after the first step, which are next to those of the head.

    With a `layer_decay` d below 1 the variables of the i-th layer below the head learn at lr * d^i (discriminative
    fine-tuning: Howard and Ruder 2018, arXiv 1801.06146, section 3.1).
    """
    schedule: Any = settings.learning_rate
    if settings.schedule == "cosine":
        rise = steps if settings.epochs > 1 else 0
        schedule = keras.optimizers.schedules.CosineDecay(
            0.01 * schedule if rise else schedule,
            steps * settings.epochs - rise,
            warmup_target=schedule if rise else None,
            warmup_steps=rise,
        )
    options: dict[str, Any] = {"learning_rate": schedule, "global_clipnorm": CLIP}
    span = steps * min(settings.average, settings.epochs / 2)
    if span > 1:
        options |= {"use_ema": True, "ema_momentum": 1 - 1 / span}
    if settings.optimizer in ("sgd", "rmsprop"):
        options["momentum"] = settings.momentum
    if settings.optimizer == "adamw":
        options["weight_decay"] = settings.weight_decay
    kind = CLASSES[settings.optimizer]
    if settings.layer_decay == 1:
        return kind(**options)
    return _layered(kind)(_shares(model, settings.layer_decay), **options)


def _shares(model: keras.Model, decay: float) -> list[float]:
    """Share of the learning rate of each trainable variable, by its layer's distance from the head."""
    layers = [layer for layer in _leaves(model) if layer.trainable_variables]
    share = {
        id(variable): decay**depth
        for depth, layer in enumerate(reversed(layers))
        for variable in layer.trainable_variables
    }
    return [share[id(variable)] for variable in model.trainable_variables]


def _leaves(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers that are no models, those of nested models included, in the order in which data flows."""
    nested = [_leaves(layer) if isinstance(layer, keras.Model) else [layer] for layer in model.layers]
    return [layer for layers in nested for layer in layers]


def _layered(kind: Any) -> Any:
    class Layered(kind):
        """An optimizer that scales the learning rate of each variable; `shares` are in their order."""

        def __init__(self, shares: list[float], **options: Any) -> None:
            super().__init__(**options)
            self._shares = shares

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            share = self._shares[self._get_variable_index(variable)]
            super().update_step(gradient, variable, learning_rate * share)

    return Layered
