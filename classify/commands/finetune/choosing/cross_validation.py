"""Cross-validated fine-tuning: how many epochs, and how far from the head, where pictures are few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cache.text import counted
from classify.commands.finetune.choosing.interpolation import Point, choose, walk
from classify.commands.finetune.network.top import set_head
from classify.commands.finetune.result import Chosen
from classify.models.linear import LinearHead
from classify.training.batches import TrainingRows
from classify.training.history import Epoch, History
from classify.training.loop import Watch, logits_of, read_weights, train, write_weights
from classify.training.settings import Settings
from classify.training.skipping import Skipping

if TYPE_CHECKING:
    import keras

ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
SLACK = 1.0  # standard errors: of points that the folds cannot tell apart, the one nearest to the head


@dataclass(frozen=True)
class Fold:
    """Training and validating pictures of a fold, and the head of the former."""

    fit: TrainingRows
    val: TrainingRows
    head: LinearHead


def cross_validate(
    model: keras.Model,
    folds: Sequence[Fold],
    settings: Settings,
    floor: float,
    say: Callable[[str], None],
    step: Callable[[int, str], None] | None = None,
) -> Chosen:
    """Fine-tune on each fold and judge all out-of-fold answers together; the model's weights are left as they were.

    They choose the point between the head and the last epoch, no epoch: a hundred pictures cannot tell the best of
    ten epochs, and the learning rate falls to zero towards the last.

    Returns
    -------
    Chosen
        The history's epochs are the folds' together; its line goes from the heads to the last one that all folds
        finished. Logits (v, C) are the out-of-fold ones at the chosen point, fold by fold.
    """
    original = read_weights(model)
    heads: list[np.ndarray] = []
    points: list[dict[int, list[Point]]] = []  # fold -> epoch -> line without its first point
    epochs: list[Sequence[Epoch]] = []
    for number, fold in enumerate(folds, 1):
        write_weights(model, original)
        set_head(model, fold.head)
        start = read_weights(model)
        heads.append(logits_of(model, fold.val, settings.batch_size))
        lines: dict[int, list[Point]] = {}

        def after(
            model: keras.Model, epoch: Epoch, fold: Fold = fold, start: list = start, lines: dict = lines
        ) -> None:
            alphas = ALPHAS if epoch.number == settings.epochs else ALPHAS[-1:]
            now = read_weights(model)
            lines[epoch.number] = walk(model, start, now, fold.val, settings.batch_size, alphas)

        # Of five times ten epochs nobody reads each: they are steps, and a fold is a line.
        watch = Watch(step=step, epoch=after, label=f"fold {number} of {len(folds)}, ")
        trained = train(model, fold.fit, None, settings, watch=watch)
        if step:
            early = Skipping.of(len(fold.fit), settings).after(len(trained.epochs) - 1, settings.epochs)
            step(early, f"fold {number} of {len(folds)} is done")
        seconds = sum(epoch.seconds for epoch in trained.epochs)
        stopped = f"; {trained.stopped}" if trained.stopped else ""
        say(
            f"fold {number} of {len(folds)}: {counted(len(trained.epochs) - 1, 'epoch')} in {seconds:.0f} s{stopped}"
        )
        points.append(lines)
        epochs.append(trained.epochs)
    write_weights(model, original)
    codes = np.concatenate([_known(fold) for fold in folds])
    head = Point.of(0.0, np.concatenate(heads), codes)
    lines_of = {0: [head]} | {
        number: [
            head,
            *(_together(line, codes) for line in zip(*(fold[number] for fold in points), strict=True)),
        ]
        for number in range(1, min(map(len, epochs)))
    }
    last = max(lines_of)  # 0 where a fold's loss was no number from the start
    chosen = choose(lines_of[last], floor, SLACK)
    pooled = [_pooled(number, epochs, line[-1]) for number, line in lines_of.items()]
    line = [point.summary() for point in lines_of[last]]
    steps = -(-len(codes) // settings.batch_size)  # of the training on all of them that is to come
    history = History(pooled, last, line, chosen.alpha, len(codes), len(folds), settings.epochs, steps)
    return Chosen(history, chosen.temperature(codes), chosen.logits)


def _known(fold: Fold) -> np.ndarray:
    """Codes (v,) of the validating pictures, -1 where none of the class trained: no temperature can help those."""
    return np.where(np.isin(fold.val.codes, fold.fit.codes), fold.val.codes, -1)


def _together(points: Sequence[Point], codes: np.ndarray) -> Point:
    """Join the folds' answers after an epoch at one alpha."""
    return Point.of(points[0].alpha, np.concatenate([point.logits for point in points]), codes)


def _pooled(number: int, folds: Sequence[Sequence[Epoch]], point: Point) -> Epoch:
    """One epoch of all folds."""
    each, judged = [epochs[number] for epochs in folds], point.judgement
    return replace(
        each[0],
        loss=float(np.mean([epoch.loss for epoch in each])),
        accuracy=float(np.mean([epoch.accuracy for epoch in each])),
        val_loss=judged.loss,
        val_accuracy=judged.accuracy,
        calibrated_loss=judged.calibrated_loss,
        seconds=sum(epoch.seconds for epoch in each),
    )
