"""`finetune`: from the best linear head to one model that is never worse than it on the validation part."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.finetune import resume as journal
from classify.commands.finetune.activations import Live, Views, at_layer, fill, open_parts, planned_bytes
from classify.commands.finetune.cross_validation import Fold, cross_validate
from classify.commands.finetune.finish import finish, keep_model
from classify.commands.finetune.interpolation import between, choose, walk
from classify.commands.finetune.network.border import Border, find_border
from classify.commands.finetune.network.handoff_check import check
from classify.commands.finetune.network.top import build_top
from classify.commands.finetune.result import Outcome, Result, Tuned
from classify.commands.finetune.start import Start, begin, head_of
from classify.models.linear import LinearHead
from classify.runs.head_file import LoadedHead
from classify.training.batches import Activations, Samples
from classify.training.checkpoint import Checkpoint
from classify.training.history import Board, Epoch, History
from classify.training.loop import Watch, read_weights, train
from classify.training.settings import Settings
from extract.backbones.backbone import Backbone
from extract.backbones.network import build_embedder, hash_weights, network_of
from extract.embedding.progress import Progress
from extract.embedding.spaces import backbone_of, decoding_of
from extract.engines.choice import choose_engine, learn_network, open_engine
from extract.machine import gpu_seen
from extract.pictures.augmentation import View
from extract.settings import Options

if TYPE_CHECKING:
    import keras

GB = 10**9
Say = Callable[[str], None]


def finetune(
    workspace: Workspace,
    settings: Settings,
    *,
    run: Path | None = None,
    resume: Path | None = None,
    options: Options | None = None,
    trust: bool = False,
    progress: Progress | None = None,
    say: Say = lambda line: None,
) -> Outcome:
    """Fine-tune the upper layers of a backbone from its best head, and keep what validates best.

    Parameters
    ----------
    workspace : Workspace
    settings : Settings
        Not used when resuming: the run's own count.
    run : Path, optional
        The fit-head run to start from; default: the best with a linear head, else the best.
    resume : Path, optional
        An unfinished run of finetune to go on with.
    options : Options, optional
        Engine, batch size and reading threads of the frozen part.
    trust : bool
        Load a head that this workspace did not write.
    progress : Progress, optional
        Told of the caching of activations.
    say : callable (line of text), optional

    Raises
    ------
    UserError
        For a missing head, cache or weights, a border that cannot be found, a network that does not say what the head
        says, a full disk. What was finished before stays: `resume` goes on with it.
    """
    progress, options = progress or Progress(), options or Options()
    if resume:
        settings, run = journal.settings_of(resume), journal.start_of(resume)
    loaded = head_of(workspace, run, trust=trust)
    backbone, network, border = _network(workspace, loaded, settings)
    start = begin(workspace, loaded, settings, say=say, progress=progress)
    say(_introduction(start))
    model = build_top(network, border, backbone, _handed(start))
    tuned = Tuned(backbone, decoding_of(workspace, start.data.space), network, border, model)
    say(border.describe())
    began = time.monotonic()
    supply = _supply(workspace, start, settings, tuned, options, progress, say)
    caching = time.monotonic() - began
    live = supply.live()
    half = tuned.network.compute_dtype == "float16"
    worst = check(
        tuned.model, _handed(start), start.data.embedding[live.rows], live, settings.batch_size, half=half
    )
    say(
        f"hand-off: the network's logits equal the head's to {worst:.0e} on all {len(live):,} validating pictures"
    )

    folder = resume or workspace.new_run("finetune")
    resumed = journal.open_run(folder, start, settings, tuned.border.layer)
    say(f"{'going on with' if resume else 'training in'} {folder}")
    board = Board(folder / "tensorboard") if settings.tensorboard else None

    def after(model: keras.Model, epoch: Epoch) -> None:
        if board:
            board.write(epoch)
        if settings.checkpoint_every and epoch.number % settings.checkpoint_every == 0:
            keep_model(folder / f"epoch-{epoch.number:03d}.keras", tuned, start)

    watch = Watch(say, lambda checkpoint: checkpoint.save(folder / journal.CHECKPOINT), after)
    if len(start.trials) > 1:
        result = _with_folds(folder, tuned, supply, start, settings, resumed, watch)
    else:
        result = _with_part(tuned, supply, start, settings, resumed, watch)
    say(_verdict(result.history))
    outcome = finish(workspace, folder, start, settings, tuned, result, caching, say)
    journal.close_run(folder)
    return outcome


def _introduction(start: Start) -> str:
    record, n = start.loaded.record["head"], len(start.train)
    how = f"{n:,} pictures train, {len(start.val):,} validate"
    if len(start.trials) > 1:
        how = f"{n:,} pictures train and validate in {len(start.trials)} folds"
    tested = len(start.division.truth)
    return f"starting from {record['name']} of {start.loaded.folder.name} on {start.data.name}: {how}, {tested:,} test"


def _with_part(
    tuned: Tuned,
    supply: Supply,
    start: Start,
    settings: Settings,
    resumed: Checkpoint | None,
    watch: Watch,
) -> Result:
    """Train once, and let a validation part choose the epoch and the point on the way to it."""
    val = supply.of(start.val)
    trained = train(tuned.model, supply.of(start.train), val, settings, resumed=resumed, watch=watch)
    line = walk(tuned.model, trained.head, trained.best, val, settings.batch_size)
    point = choose(line, start.floor)
    history = History(trained.epochs, trained.best_epoch, [p.summary() for p in line], point.alpha, len(val))
    weights = between(trained.head, trained.best, point.alpha)
    return Result(history, weights, point.temperature(val.codes), trained.stopped)


def _with_folds(
    folder: Path,
    tuned: Tuned,
    supply: Supply,
    start: Start,
    settings: Settings,
    resumed: Checkpoint | None,
    watch: Watch,
) -> Result:
    """Let the folds choose the epoch and the point, then train on all of the pictures."""
    decided = journal.decision(folder)
    if decided is None:
        folds = [Fold(supply.of(trial.fit), supply.of(trial.val), trial.linear) for trial in start.trials]
        decided = cross_validate(tuned.model, folds, settings, start.floor, watch.say)
        journal.decide(folder, *decided)
    history, temperature = decided
    if not history.alpha:
        return Result(history, read_weights(tuned.model), temperature, "")
    everything = supply.of(start.train)
    watch.say(f"training on all {len(everything):,} pictures for {history.best} epochs")
    trained = train(tuned.model, everything, None, settings, until=history.best, resumed=resumed, watch=watch)
    return Result(history, between(trained.head, trained.best, history.alpha), temperature, trained.stopped)


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


def _network(
    workspace: Workspace, loaded: LoadedHead, settings: Settings
) -> tuple[Backbone, keras.Model, Border]:
    """Build the network that the head's embeddings came from, and find what of it trains."""
    store = workspace.store_by_id(loaded.record["space"]["id"])
    backbone = backbone_of(store)
    if settings.precision == "float16" and not backbone.halves:
        raise UserError(
            f"Expected --precision float32 or auto for {backbone.name}: it computes as it was saved."
        )
    half = settings.precision == "float16" or (
        settings.precision == "auto" and gpu_seen() and backbone.halves
    )
    embedder = build_embedder(replace(backbone, precision="float16" if half else "float32"))
    expected, received = store.space.weights, hash_weights(embedder)
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


@dataclass(frozen=True)
class Supply:
    """Where the activations of training and validating pictures come from."""

    start: Start
    source: Activations
    exact: Activations  # computed from the files, in float32
    lost: np.ndarray  # rows that cannot be read again
    views: int

    def of(self, rows: np.ndarray) -> Samples:
        """Samples of these rows, to train on or to judge by; only training rows have views and weights."""
        rows = self._there(rows)
        start = self.start
        trains = np.isin(rows, start.train).all()
        return Samples(
            self.source,
            rows,
            start.codes(rows),
            len(start.linear.classes),
            start.weight(rows) if trains else None,
            self.views if trains else 0,
        )

    def live(self) -> Samples:
        """All validating pictures, exactly."""
        rows = self._there(self.start.val)
        return Samples(self.exact, rows, self.start.codes(rows), len(self.start.linear.classes))

    def _there(self, rows: np.ndarray) -> np.ndarray:
        there = rows[~np.isin(rows, self.lost)]
        if not len(there):
            raise UserError(
                f"Expected pictures to train and to validate on, but none of {len(rows):,} can be read."
            )
        return there


def _supply(
    workspace: Workspace,
    start: Start,
    settings: Settings,
    tuned: Tuned,
    options: Options,
    progress: Progress,
    say: Say,
) -> Supply:
    """Cache the activations of all pictures in all views, or say why they are computed in every epoch."""
    manifest, backbone = start.data.manifest, tuned.backbone
    views: Views = [
        None,
        *(View(settings.augment, number + 1, settings.seed) for number in range(settings.views)),
    ]
    size, decoding, none = backbone.input_size, tuned.decoding, np.empty(0, int)
    if not tuned.border.layer:
        say(
            "nothing below what trains can be cached: each epoch decodes the pictures and runs the whole network"
        )
        pixels = Live(manifest, views, size, decoding, None)
        return Supply(start, pixels, pixels, none, settings.views)
    bottom = at_layer(backbone, tuned.border.layer)
    engine = choose_engine(options.engine, bottom)
    network, running = learn_network(bottom, engine, progress.note, options.engine == "auto")
    running = running or open_engine(engine, bottom, network, options.batch_size)
    engine = running.name
    live = Live(manifest, views, size, decoding, running)
    train, everything = start.train, np.union1d(start.train, start.val)
    shape = tuple(map(int, tuned.network.get_layer(tuned.border.layer).output.shape[1:]))
    planned = planned_bytes(shape, settings.dtype, len(everything), len(train), settings.views)
    free = shutil.disk_usage(workspace.root).free
    size_of = f"{' x '.join(map(str, shape))}, {len(views)} views"
    text = f"activations {size_of}: {planned / GB:.2f} GB as {settings.dtype}"
    wanted = [(view, train if number else everything) for number, view in enumerate(views)]
    options = replace(options, engine=engine, dtype=settings.dtype)
    parts = open_parts(workspace, bottom, decoding, options, manifest, wanted, progress.note)
    missing = sum(len(part.todo) for part in parts)
    too_large = planned > settings.max_cache_gb * GB
    if too_large or missing * planned_bytes(shape, settings.dtype, 1, 0, 0) > free:
        limit = f"--max-cache-gb {settings.max_cache_gb:g}" if too_large else "the disk has free"
        say(f"{text}, more than {limit}: the frozen part runs live in every epoch, which is slower")
        return Supply(start, live, live, none, settings.views)
    say(f"{text}, kept in the cache")
    cached, lost = fill(manifest, parts, progress)
    if len(lost):
        start.notes.append(f"{len(lost):,} pictures could not be read again: they neither train nor validate")
        say(start.notes[-1])
    return Supply(start, cached, live, lost, settings.views)
