"""Train on a part of the pictures, or on folds; let the others choose; train again on all, where that is asked for."""

from __future__ import annotations

from pathlib import Path

from cache.text import counted
from classify.commands.finetune import resume
from classify.commands.finetune.activations.supply import Supply
from classify.commands.finetune.cross_validation import Fold, cross_validate
from classify.commands.finetune.interpolation import between, choose, walk
from classify.commands.finetune.mirroring import with_mirror_images
from classify.commands.finetune.network.top import set_head
from classify.commands.finetune.result import Chosen, Result, Tuned
from classify.commands.finetune.session import Session
from classify.training.checkpoint import Checkpoint
from classify.training.history import History
from classify.training.loop import Watch, read_weights, train, write_weights


def train_and_choose(
    session: Session, folder: Path, tuned: Tuned, supply: Supply, resumed: Checkpoint | None, watch: Watch
) -> Result:
    """Train, and choose the epoch and the point on the way to it; what is chosen in `folder` already stands."""
    start, chosen = supply.start, resume.chosen(folder)
    several = len(start.trials) > 1
    if chosen is None and several:
        folds = [Fold(supply.of(trial.fit), supply.of(trial.val), trial.linear) for trial in start.trials]
        chosen = cross_validate(tuned.model, folds, start.settings, start.floor, watch.say, watch.step)
        resume.keep_chosen(folder, chosen)
    elif chosen is None:
        head = read_weights(tuned.model)
        result = _on_a_part(session, tuned, supply, resumed, watch)
        chosen, resumed = result.chosen, None
        if not (start.again and chosen.history.alpha):
            return result
        resume.keep_chosen(folder, chosen)
        write_weights(tuned.model, head)
    if not several:  # callbacks and logs have heard of the training that was validated
        watch = Watch(watch.say, watch.step, watch.keep, label="all pictures, ")
    return _on_all(tuned, supply, chosen, resumed, watch)


def _on_a_part(
    session: Session, tuned: Tuned, supply: Supply, resumed: Checkpoint | None, watch: Watch
) -> Result:
    """Train once, and let a validation part choose the epoch, the point on the way to it, and mirror images."""
    start, settings = supply.start, supply.start.settings
    val = supply.of(start.val)
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
    chosen = Chosen(history, point.temperature(val.codes), point.logits)
    if settings.mirror:
        write_weights(tuned.model, weights)
        chosen = with_mirror_images(session, start, tuned, chosen)
    return Result(chosen, weights, trained.stopped)


def _on_all(tuned: Tuned, supply: Supply, chosen: Chosen, resumed: Checkpoint | None, watch: Watch) -> Result:
    """Train all pictures up to the epoch, and go as far from the head, as was chosen."""
    start, history = supply.start, chosen.history
    set_head(tuned.model, start.linear)
    if not history.alpha:
        return Result(chosen, read_weights(tuned.model), "")
    everything = supply.of(start.trained)
    watch.say(f"training on all {len(everything):,} pictures for {counted(history.best, 'epoch')}")
    trained = train(
        tuned.model, everything, None, start.settings, until=history.best, resumed=resumed, watch=watch
    )
    weights = between(trained.head, trained.best, history.alpha)
    return Result(chosen, weights, trained.stopped)
