"""From the best linear head to one model that is never worse than it on the validation part."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cache.errors import UserError
from cache.text import counted
from classify.commands.finetune import resume
from classify.commands.finetune.activations.supply import Supply, choose_supply
from classify.commands.finetune.activations.view_size import with_view_size
from classify.commands.finetune.choosing.choosing import train_and_choose
from classify.commands.finetune.final_model import save_epoch
from classify.commands.finetune.finish import finish
from classify.commands.finetune.network.border import Border, find_border
from classify.commands.finetune.network.handoff_check import check
from classify.commands.finetune.network.step_length import pace_of
from classify.commands.finetune.network.top import build_top
from classify.commands.finetune.result import Outcome, Tuned
from classify.commands.finetune.session import Session, Stages
from classify.commands.finetune.start.rows import Network, networks_of
from classify.commands.finetune.start.start import Start, begin
from classify.models.linear import LinearHead
from classify.runs.head_file import LoadedHead
from classify.runs.inputs import inputs_of
from classify.training.checkpoint import Checkpoint
from classify.training.history import Board, Epoch, History
from classify.training.loop import Watch
from classify.training.settings import Pace, Settings
from classify.training.skipping import Skipping
from extract.backbones.backbone import Backbone
from extract.backbones.network import build_embedder, hash_weights, network_of
from extract.embedding.spaces import decoding_of
from extract.machine import gpu_seen

if TYPE_CHECKING:
    import keras


STOPPED = "Stopped. Cached activations and finished epochs are kept: `finetune --resume` goes on after the last one."
FOLDS_STOPPED = (
    "Stopped within the folds. Cached activations are kept: `finetune --resume` trains the folds again."
)


def tune(session: Session, settings: Settings, loaded: LoadedHead, unfinished: Path | None = None) -> Outcome:
    """Fine-tune the upper layers of a backbone from a head, and keep what validates best.

    Parameters
    ----------
    session : Session
    settings : Settings
    loaded : LoadedHead
        From a run of fit-head.
    unfinished : Path, optional
        A run of finetune to go on with, which has these settings and began with this head.

    Raises
    ------
    UserError
        For a missing cache or weights, a border that cannot be found, a network that does not say what the head says,
        a full disk. What was finished before stays: `unfinished` goes on with it.
    """
    workspace, say, stages = session.workspace, session.say, Stages(session.course)
    stages.build()
    options, trust = session.options, session.trust
    networks = networks_of(workspace, inputs_of(loaded.record), options, say, trust=trust)
    backbone, network, border = _network(session, networks[0], settings)
    stages.divide(loaded)
    start = begin(
        workspace, loaded, settings, say=say, progress=session.progress, options=options, trust=trust
    )
    if start.network != networks[0]:
        backbone, network, border = _network(session, start.network, settings)
    say(_introduction(start))
    handed, decoding = _handed(start), decoding_of(workspace, start.data.space)
    top = build_top(network, border, backbone, handed)
    tuned = Tuned(backbone, decoding, network, border, top, backbone.input_size)
    say(border.describe())
    stages.prepare()
    began = time.monotonic()
    tuned, supply = _supplied(session, start, tuned)
    caching = time.monotonic() - began
    start = replace(start, notes=[*start.notes, *supply.notes], lost=supply.lost)
    live = supply.live()
    half = tuned.network.compute_dtype == "float16"
    stages.check(len(live), len(start.division.truth))
    worst = check(tuned.model, handed, start.data.embedding[live.rows], live, settings.batch_size, half=half)
    say(
        f"hand-off: the network's logits equal the head's to {worst:.0e} on all {len(live):,} validating pictures"
    )

    if not unfinished and settings.lr is None:
        stages.try_step()
    pace = (
        resume.pace_of(unfinished) if unfinished else pace_of(tuned.model, supply.of(start.train), settings)
    )
    say(str(pace))
    skipping = Skipping.of(len(start.train), settings)
    if skipping.skipped:
        say(str(skipping))
    elif settings.skip_easy:
        note = (
            f"--skip-easy {settings.skip_easy:g} has no effect: the first and the last epoch skip no picture"
        )
        start = replace(start, notes=[*start.notes, note])
        say(note)
    start = _at(start, pace, tuned.view_size)
    supply = replace(supply, start=start)

    folder = unfinished or workspace.new_run("finetune")
    resumed = resume.open_run(folder, start, tuned.border.layer, session.callbacks.names, pace)
    say(f"{'going on with' if unfinished else 'training in'} {folder}")
    board = Board(folder / "tensorboard") if settings.tensorboard else None

    def after(model: keras.Model, epoch: Epoch) -> None:
        if board:
            board.write(epoch)
        if settings.checkpoint_every and epoch.number % settings.checkpoint_every == 0:
            save_epoch(folder / f"epoch-{epoch.number:03d}.keras", tuned, start)

    def keep(checkpoint: Checkpoint) -> None:
        checkpoint.save(resume.checkpoint(folder, settings))

    done = len(resumed.epochs) - 1 if resumed else 0
    chosen = resume.chosen(folder)
    stages.train(start, done, chosen.history.best if chosen else None)
    if session.callbacks.names and len(start.trials) > 1:
        say("callbacks are called in the training on all pictures, after the folds")
    watch = Watch(say, stages.step, keep, after, callbacks=session.callbacks)
    try:
        result = train_and_choose(session, folder, tuned, supply, chosen, resumed, watch)
        stages.finish()
        say(_verdict(result.chosen.history))
        outcome = finish(session, folder, start, tuned, result, caching)
    except KeyboardInterrupt as stop:
        folds = len(start.trials) > 1 and resume.chosen(folder) is None
        raise KeyboardInterrupt(FOLDS_STOPPED if folds else STOPPED) from stop
    resume.close_run(folder)
    return outcome


def _supplied(session: Session, start: Start, tuned: Tuned) -> tuple[Tuned, Supply]:
    """Decide how large the pictures are that train, and cache; the network for those is dropped then."""
    tuned, viewed = with_view_size(session, start, tuned, _handed(start))
    return tuned, choose_supply(session, start, tuned, viewed)


def _at(start: Start, pace: Pace, view_size: int) -> Start:
    """Train at a learning rate, noted where it is another than the optimizer's own, on pictures of a size."""
    notes = [*start.notes, str(pace)] if pace.lowered else start.notes
    return replace(start, settings=replace(start.settings, lr=pace.rate, view_size=view_size), notes=notes)


def _introduction(start: Start) -> str:
    record, n = start.loaded.record["head"], len(start.train)
    how = f"{counted(n, 'picture trains', 'pictures train')}, {len(start.val):,} validate"
    if len(start.trials) > 1:
        how = f"{n:,} pictures train and validate in {len(start.trials)} folds"
    tested = len(start.division.truth)
    return f"starting from {record['name']} of {start.loaded.folder.name} on {start.data.name}: {how}, {tested:,} test"


def _verdict(history: History) -> str:
    figures = "; ".join(f"{p.alpha:.1f} {p.val_accuracy:.1%} {p.calibrated_loss:.3f}" for p in history.line)
    way = f"{history.alpha:.0%} of the way from the head to epoch {history.best}"
    chosen = f"alpha {history.alpha:.1f} is chosen: {way}"
    if not history.alpha:
        chosen = "nothing better than the head was found: the head is kept as it is"
    return f"alpha, validation accuracy, calibrated loss: {figures}\n{chosen}"


def _handed(start: Start) -> LinearHead:
    """The head that is put on the network first: that of the part that trains, or with folds that of all."""
    return start.linear if len(start.trials) > 1 else start.trials[0].linear


def _network(session: Session, origin: Network, settings: Settings) -> tuple[Backbone, keras.Model, Border]:
    """Build the network that the head's embeddings came from, and find what of it trains."""
    backbone = origin.backbone(session.workspace, trust=session.trust)
    if settings.precision == "float16" and not backbone.halves:
        raise UserError(
            f"Expected --precision float32 or auto for {backbone.name}: it computes as it was saved."
        )
    half = settings.precision == "float16" or (
        settings.precision == "auto" and gpu_seen() and backbone.halves
    )
    embedder = build_embedder(replace(backbone, precision="float16" if half else "float32"))
    expected, received = origin.plain.space.weights, hash_weights(embedder)
    if received != expected:
        raise UserError(
            f"Expected the weights {expected[:12]} of {backbone.name}, from which the head's embeddings came, received "
            f"{received[:12]}. Run extract and fit-head again with the weights there are now."
        )
    network = network_of(embedder)
    border = find_border(
        network,
        top=None if settings.everything or settings.from_layer else settings.top,
        from_layer=settings.from_layer,
        everything=settings.everything,
    )
    return backbone, network, border
