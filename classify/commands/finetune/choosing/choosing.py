"""Train on a part of the pictures, or on folds; let the others choose; train again on all, where that is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cache.errors import UserError
from cache.text import counted
from classify.commands.finetune import resume
from classify.commands.finetune.activations.supply import Supply
from classify.commands.finetune.choosing.asking import with_larger_pictures, with_mirror_images
from classify.commands.finetune.choosing.cross_validation import Fold, cross_validate
from classify.commands.finetune.choosing.interpolation import between, choose, walk
from classify.commands.finetune.network.top import set_head
from classify.commands.finetune.result import Chosen, Result, Tuned
from classify.commands.finetune.session import Session
from classify.training.checkpoint import Checkpoint
from classify.training.history import History
from classify.training.loop import Watch, read, read_weights, seeds_of, train, write, write_weights
from classify.training.skipping import Skipping


def train_and_choose(
    session: Session,
    folder: Path,
    tuned: Tuned,
    supply: Supply,
    chosen: Chosen | None,
    resumed: Checkpoint | None,
    watch: Watch,
) -> Result:
    """Train, and choose the epoch and the point on the way to it; what was `chosen` before it was stopped stands.

    Raises
    ------
    UserError
        Where other pictures can be read than those that chose.
    """
    start = supply.start
    if chosen is not None and len(chosen.logits) != start.validated.sum():
        raise UserError(
            f"Expected to read the {len(chosen.logits):,} validating pictures that chose, received "
            f"{start.validated.sum():,} that can be read now. Bring back what was there then, or run finetune without "
            "--resume."
        )
    if len(start.trials) > 1:
        if chosen is None:
            folds = [
                Fold(supply.of(trial.fit), supply.of(trial.val, trains=False), trial.linear)
                for trial in start.trials
            ]
            chosen = cross_validate(tuned.model, folds, start.settings, start.floor, watch.say, watch.step)
            resume.keep_chosen(folder, chosen)
        return _on_all(tuned, supply, chosen, resumed, watch)
    if chosen is None:
        head, seeds = read_weights(tuned.model), read(seeds_of(tuned.model))
        result = _on_a_part(session, tuned, supply, resumed, watch)
        if not start.settings.refit or not result.chosen.history.alpha:
            return result
        chosen, resumed = result.chosen, None
        resume.keep_chosen(folder, chosen)
        write_weights(tuned.model, head)
        write(seeds_of(tuned.model), seeds)
    # Callbacks and logs have heard of the training that was validated.
    watch = Watch(watch.say, watch.step, watch.keep, label="all pictures, ")
    result = _on_all(tuned, supply, chosen, resumed, watch)
    if not result.stopped:
        return result
    part = Checkpoint.load(folder / resume.PART)
    weights = between(part.head, part.best, chosen.history.alpha)
    return Result(chosen, weights, f"the training on a part stands: on all pictures {result.stopped}")


def _on_a_part(
    session: Session, tuned: Tuned, supply: Supply, resumed: Checkpoint | None, watch: Watch
) -> Result:
    """Train once, and let a validation part choose the epoch, the point on the way to it, and how the model asks."""
    start, settings = supply.start, supply.start.settings
    val = supply.of(start.val, trains=False)
    trained = train(tuned.model, supply.of(start.train), val, settings, resumed=resumed, watch=watch)
    known = {0.0: trained.head_logits, 1.0: trained.best_logits}
    line = walk(tuned.model, trained.head, trained.best, val, settings.batch_size, known=known)
    point = choose(line, start.floor)
    history = History(
        trained.epochs,
        trained.best_epoch,
        [p.summary() for p in line],
        point.alpha,
        len(val),
        planned=settings.epochs,
        steps=trained.steps,
    )
    weights = between(trained.head, trained.best, point.alpha)
    chosen = Chosen(
        history,
        point.temperature(val.codes),
        point.logits,
        notes=[trained.stopped] if trained.stopped else [],
    )
    write_weights(tuned.model, weights)
    if settings.larger:
        chosen = with_larger_pictures(session, start, tuned, chosen)
    if settings.mirror:
        asked = tuned.at(chosen.enlarged.size) if chosen.enlarged else tuned
        chosen = with_mirror_images(session, start, asked, chosen)
    if settings.refit and watch.step:  # epochs that do not come, of this training and the one on all
        part, whole = (Skipping.of(len(rows), settings) for rows in (start.train, start.trained))
        missed = part.after(len(trained.epochs) - 1, settings.epochs)
        watch.step(missed + whole.after(history.best, settings.epochs), "the part has chosen")
    return Result(chosen, weights)


def _on_all(tuned: Tuned, supply: Supply, chosen: Chosen, resumed: Checkpoint | None, watch: Watch) -> Result:
    """Train all pictures up to the epoch, and go as far from the head, as was chosen."""
    start, settings, history = supply.start, supply.start.settings, chosen.history
    set_head(tuned.model, start.linear)
    if not history.alpha:
        return Result(chosen, read_weights(tuned.model))
    if not history.folds and not history.epochs[history.best].averaged:
        settings = replace(settings, average=0.0)  # as what was chosen is no average
    everything = supply.of(start.trained)
    watch.say(f"training on all {len(everything):,} pictures for {counted(history.best, 'epoch')}")
    trained = train(tuned.model, everything, None, settings, until=history.best, resumed=resumed, watch=watch)
    weights = between(trained.head, trained.best, history.alpha)
    return Result(chosen, weights, trained.stopped, again=True)
