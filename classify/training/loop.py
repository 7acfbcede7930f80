"""Epoch after epoch over the part above the border, each one kept before the next begins."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from cache.errors import UserError
from cache.text import counted
from classify.training.batches import TrainingRows
from classify.training.callbacks import Callbacks
from classify.training.checkpoint import Checkpoint
from classify.training.history import Epoch
from classify.training.optimizers import make_optimizer
from classify.training.settings import Settings
from classify.training.skipping import Skipping
from classify.training.validation import Judgement, judge
from extract.embedding.progress import Say, seldom

JUDGED = 4  # times as many pictures at once as in a step: no gradients need room


@dataclass(frozen=True)
class Watch:
    """Who is told of what happens while it trains, and in what words."""

    say: Say = lambda line: None
    step: Callable[[int, str], None] | None = (
        None  # so many more pictures, and where it is; else lines are said
    )
    keep: Callable[[Checkpoint], None] = lambda checkpoint: None  # once it returns, the epoch is safe
    epoch: Callable[[keras.Model, Epoch], None] = lambda model, epoch: None
    label: str = ""  # begins each line
    origin: str = "head"  # what the network is called before the first step
    callbacks: Callbacks = field(default_factory=Callbacks)  # the user's own


@dataclass(frozen=True)
class Trained:
    """The weights (or an average of them) that validated best, those of the head, and how it went."""

    epochs: Sequence[Epoch]
    best_epoch: int
    head: Sequence[np.ndarray]
    best: Sequence[np.ndarray]
    stopped: str  # why before the last epoch; empty if it was not
    steps: int  # an epoch
    head_logits: np.ndarray | None = None  # (v, C) of those that validate, where they were asked here
    best_logits: np.ndarray | None = None


def train(
    model: keras.Model,
    fit: TrainingRows,
    val: TrainingRows | None,
    settings: Settings,
    *,
    until: int | None = None,
    resumed: Checkpoint | None = None,
    watch: Watch | None = None,
) -> Trained:
    """Train the top of a network.

    Parameters
    ----------
    model : keras.Model
        Activations to (B, C) logits; left with the weights of the last epoch. Where weights are averaged
        (`Settings.average`), it has the average while `watch` and callbacks are told of the end of an epoch, and at the
        last one, where the learning rate falls, whichever validates better.
    fit : TrainingRows
    val : TrainingRows, optional
        Decide which epoch is best and when to stop; without them the last epoch counts as the best.
    settings : Settings
    until : int, optional
        Last epoch; the learning rate falls as if all of `settings.epochs` were to come.
    resumed : Checkpoint, optional
        Goes on after its last epoch, to the same weights as if nothing had happened in between.
    watch : Watch, optional

    Returns
    -------
    Trained
        The best epoch, of those after the head, has the lowest calibrated loss; the earlier one of equals.
    """
    watch, last = watch or Watch(), until or settings.epochs
    steps, callbacks = -(-len(fit) // settings.batch_size), watch.callbacks
    skipping = Skipping.of(len(fit), settings)
    optimizer = compile_with(model, settings, steps, each_loss=bool(skipping.skipped))
    head_logits: np.ndarray | None = None
    best_logits: np.ndarray | None = None
    if resumed is None:
        head, judged = read_weights(model), _judge(model, val, settings)
        head_logits = judged.logits if judged else None
        start = _epoch(0, math.nan, math.nan, judged, 0.0, 0.0)
        now = Checkpoint([start], head, head, head, 0, read(_moving(model, optimizer)))
    else:
        now = resumed
        write_weights(model, now.weights)
        _restore(_moving(model, optimizer), now.state)
    stopped = _patience_over(now, settings)  # a run killed after its last epoch has no more to come
    callbacks.begin(model, last, steps)
    while len(now.epochs) <= last and not stopped:
        number, began = len(now.epochs), time.monotonic()
        progress = _Progress(watch, number, last, skipping.pictures(number), skipping.after(number, last))
        callbacks.tell("on_epoch_begin", number - 1, {})
        losses = np.full(len(fit), np.nan)
        if now.losses is not None and len(now.losses) == len(fit):  # else others can be read than then
            losses = np.copy(now.losses)
        shares = skipping.shares(number, losses, settings.seed)
        loss, accuracy = _one_epoch(model, fit, settings, number, shares, losses, progress, callbacks)
        if not math.isfinite(loss):
            stopped = f"the loss was {loss} in epoch {number}: try a lower --lr, or --optimizer sgd"
            break
        weights = read_weights(model)
        settled = number == last and settings.schedule == "cosine"
        with _steadied(model, val, settings, settled=settled) as (judged, averaged):
            kept = read_weights(model)
            rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            epoch = _epoch(number, loss, accuracy, judged, rate, time.monotonic() - began, averaged)
            before = now.epochs[now.best_epoch]
            best = number == 1 or judged is None or epoch.calibrated_loss < before.calibrated_loss
            if best:
                best_logits = judged.logits if judged else None
            now = Checkpoint(
                [*now.epochs, epoch],
                weights,
                now.head,
                kept if best else now.best,
                number if best else now.best_epoch,
                read(_moving(model, optimizer)),
                losses if skipping.skipped else None,
            )
            watch.keep(now)
            watch.epoch(model, epoch)
            watch.say(progress.finished(epoch, now.epochs[0], val))
            callbacks.tell("on_epoch_end", number - 1, epoch.logs)
        asked = f"{callbacks.stopped} asked for it in epoch {number}" if callbacks.stopped else ""
        stopped = asked or _patience_over(now, settings)
    if stopped:
        watch.say(f"{watch.label}stopped: {stopped}")
    callbacks.tell("on_train_end", now.epochs[-1].logs)
    return Trained(now.epochs, now.best_epoch, now.head, now.best, stopped, steps, head_logits, best_logits)


@contextmanager
def _steadied(
    model: keras.Model, val: TrainingRows | None, settings: Settings, *, settled: bool
) -> Iterator[tuple[Judgement | None, bool]]:
    """Give the model the average of its weights over the last steps, and yield a judgement of it, and True.

    Weights go to and fro while the learning rate is high, and their average does not (Polyak and Juditsky 1992, SIAM
    Journal on Control and Optimization 30:838); once the rate has fallen it may lag behind. So weights that are
    `settled` are judged as well, and the model has the better. Yields False where it has its own weights.
    """
    own, averaged = read_weights(model), False
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if optimizer.use_ema:
        averaged = True
        optimizer.finalize_variable_values(model.trainable_variables)
        # A copy: on JAX these are the optimizer's own arrays, which the next step deletes.
        write_weights(model, read_weights(model))
    judged = _judge(model, val, settings)
    if averaged and settled and judged:
        average = read_weights(model)
        write_weights(model, own)
        of_own = _judge(model, val, settings)
        if of_own and of_own.calibrated_loss < judged.calibrated_loss:
            judged, averaged = of_own, False
        else:
            write_weights(model, average)
    try:
        yield judged, averaged
    finally:
        write_weights(model, own)


def _patience_over(now: Checkpoint, settings: Settings) -> str:
    """Why training ends before its last epoch; empty while it goes on."""
    if now.best_epoch and len(now.epochs) - 1 - now.best_epoch >= settings.patience:
        return f"no lower validation loss for {counted(settings.patience, 'epoch')}"
    return ""


class _Progress:
    """Lines about an epoch while it runs, at most one every few seconds, and one at its end."""

    def __init__(self, watch: Watch, number: int, last: int, n: int, to_come: int) -> None:
        self._label = f"{watch.label}epoch {number} of {last}"
        self._say, self._n, self._origin = seldom(watch.say), n, watch.origin
        self._after = to_come  # pictures of later epochs
        self._step, self._done = watch.step, 0
        self._start = time.perf_counter()  # of a fine grain: the first step may take a millisecond

    def step(self, done: int, loss: float) -> None:
        """Tell that `done` pictures are trained on."""
        if self._step:
            self._step(done - self._done, f"{self._label}, loss {loss:.3f}")
            self._done = done
            return
        rate = done / (time.perf_counter() - self._start)
        left = (self._n - done + self._after) / rate
        self._say(
            f"{self._label}: {done:,} of {self._n:,} pictures, {rate:.0f} a second, loss {loss:.3f}, at most "
            f"{left:.0f} s left"
        )

    def finished(self, epoch: Epoch, start: Epoch, val: TrainingRows | None) -> str:
        """Sum the epoch up."""
        judged = ""
        if val is not None:
            at_first = f"{self._origin} {start.val_accuracy:.1%}, n = {len(val):,}"
            judged = f", validation {epoch.val_loss:.3f}, accuracy {epoch.val_accuracy:.1%} ({at_first})"
        rate = f"{epoch.seconds:.1f} s, {self._n / epoch.seconds:.0f} pictures/s"
        return f"{self._label}: loss {epoch.loss:.3f}{judged}, {rate}"


def _epoch(
    number: int,
    loss: float,
    accuracy: float,
    judged: Judgement | None,
    rate: float,
    seconds: float,
    averaged: bool = False,
) -> Epoch:
    figures = (judged.loss, judged.accuracy) if judged else (math.nan, math.nan)
    calibrated = judged.calibrated_loss if judged else math.nan
    return Epoch(number, loss, accuracy, *figures, rate, seconds, calibrated, averaged)


def _judge(model: keras.Model, val: TrainingRows | None, settings: Settings) -> Judgement | None:
    return None if val is None else judge(logits_of(model, val, settings.batch_size), val.codes)


def logits_of(model: keras.Model, samples: TrainingRows, batch_size: int) -> np.ndarray:
    """(n, C) float64 logits of plain pictures, in order."""
    parts, size = list[np.ndarray](), 0
    for batch in samples.plain(JUDGED * batch_size):
        size = size or len(batch.x)  # the first is the largest
        parts.append(np.asarray(model.predict_on_batch(batch.filled(size).x))[: len(batch.x)])
    return np.concatenate(parts).astype(np.float64)


def read_weights(model: keras.Model) -> list[np.ndarray]:
    """Copy the trainable variables."""
    return read(model.trainable_variables)


def write_weights(model: keras.Model, weights: Sequence[np.ndarray]) -> None:
    """Set the trainable variables, in the order of `read_weights`."""
    write(model.trainable_variables, weights)


def compile_with(
    model: keras.Model, settings: Settings, steps: int, *, eagerly: bool = False, each_loss: bool = False
) -> Any:
    """Make the model ready for steps of a fresh optimizer, and return it: in half precision Keras wraps it.

    With `each_loss` a step also tells "losses", those of its pictures.
    """
    model.compile(
        make_optimizer(settings, model, steps),
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.label_smoothing),
        metrics=[_Losses(settings.batch_size)] if each_loss else None,
        weighted_metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        run_eagerly=eagerly,
    )
    model.optimizer.build(model.trainable_variables)
    return model.optimizer


class _Losses(keras.metrics.Metric):
    """Cross-entropy of each picture of the last step, in nats: (size,) float32, zeros behind the last picture."""

    def __init__(self, size: int) -> None:
        super().__init__(name="losses")
        self._size = size
        self._last = self.add_variable((size,), "zeros", name="last")

    def update_state(self, targets: Any, logits: Any, sample_weight: Any = None) -> None:
        """Take the place of those of the step before; weights do not count."""
        own = keras.losses.categorical_crossentropy(targets, logits, from_logits=True)
        self._last.assign(keras.ops.concatenate([own, keras.ops.zeros((self._size,))])[: self._size])

    def result(self) -> Any:
        """Return them."""
        return self._last.value


def _one_epoch(
    model: keras.Model,
    fit: TrainingRows,
    settings: Settings,
    number: int,
    shares: np.ndarray | None,
    losses: np.ndarray,
    progress: _Progress,
    callbacks: Callbacks,
) -> tuple[float, float]:
    """Mean loss and accuracy over an epoch; ends at once when the loss is not a number, or a callback says so.

    `losses` (n,) are set for the pictures that it trains on.
    """
    done, loss, accuracy = 0, 0.0, 0.0
    batches = fit.epoch(number, settings.batch_size, settings.seed, settings.mixup, shares)
    fills, size = not _counts_batches(model), 0
    for step, batch in enumerate(batches):
        callbacks.tell("on_train_batch_begin", step, {})
        model.reset_metrics()
        size = size or len(batch.x)  # the first is the largest
        given = batch.filled(size) if fills else batch
        logs = model.train_on_batch(given.x, given.y, sample_weight=given.weight, return_dict=True)
        if not math.isfinite(logs["loss"]):
            return float(logs["loss"]), math.nan
        n = len(batch.x)
        if "losses" in logs:
            losses[batch.places] = np.atleast_1d(logs["losses"])[:n]
        done, loss, accuracy = (
            done + n,
            loss + n * float(logs["loss"]),
            accuracy + n * float(logs["accuracy"]),
        )
        progress.step(done, loss / done)
        callbacks.tell("on_train_batch_end", step, {"loss": loss / done, "accuracy": accuracy / done})
        if callbacks.stopped:
            break
    return loss / done, accuracy / done


def _counts_batches(model: keras.Model) -> bool:
    """Whether what a picture gives depends on the others of its batch: a row too many would count."""
    norms = [each for each in model._flatten_layers() if isinstance(each, keras.layers.BatchNormalization)]
    return any(norm.trainable for norm in norms)


def _moving(model: keras.Model, optimizer: Any) -> list[Any]:
    """What else changes from step to step: the optimizer's variables and the states of random generators."""
    return [*optimizer.variables, *seeds_of(model)]


def seeds_of(model: keras.Model) -> list[Any]:
    """Variables that hold the states of random generators, as of dropout layers."""
    return [v for v in model.non_trainable_variables if "seed" in v.path]


def _restore(variables: Sequence[Any], state: Sequence[np.ndarray]) -> None:
    """Set what moves to the state of a checkpoint; UserError where it is that of another training."""
    if [tuple(variable.shape) for variable in variables] != [array.shape for array in state]:
        raise UserError(
            f"Expected {len(variables)} arrays of an optimizer and of average weights in the checkpoint, received "
            f"{len(state)}, as an older version wrote them. Run finetune without --resume: cached activations are kept."
        )
    write(variables, state)


def read(variables: Sequence[Any]) -> list[np.ndarray]:
    """Copy variables."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def write(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    """Set variables, in the order of `read`."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
