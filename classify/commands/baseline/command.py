"""`baseline`: a small network from scratch on the very split that heads are tested on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from cache.errors import UserError
from cache.text import counted
from cache.versions import now
from cache.workspace import Workspace
from classify.commands.baseline.options import BaselineOptions, Settings
from classify.commands.baseline.pixels import Pixels
from classify.commands.baseline.report import keep
from classify.commands.baseline.result import NAME, Outcome, Setup, Tested, against_best_head, known_answers
from classify.data.division import divide, set_aside
from classify.data.identity import part_hash
from classify.data.splits import TEST, VAL
from classify.heads.calibration import fit_temperature
from classify.metrics.evaluation import evaluate
from classify.models.probabilities import answer
from classify.runs.readings import Log, Reading
from classify.training.batches import TrainingRows
from classify.training.checkpoint import Checkpoint
from classify.training.history import History
from classify.training.settings import GB, OWN_PART
from extract.embedding.progress import Progress, Say, bar
from extract.embedding.spaces import decoding_of
from extract.machine import import_keras_quietly

if TYPE_CHECKING:
    import keras


def baseline(
    workspace: Workspace,
    settings: Settings,
    *,
    dataset: str | None = None,
    space: str | None = None,
    say: Say = lambda line: None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Train a small network from random weights, and keep the epoch with the lowest calibrated validation loss.

    Parameters
    ----------
    workspace : Workspace
    settings : Settings
    dataset, space : str, optional
        Default: the current ones. The space says how pictures become square, and which are near copies.
    say : callable (line of text), optional
    progress : Progress, optional
        Told of the reading of files of which a cache of an earlier version has no thumbnail.
    clock : callable () -> float
        Seconds, which the time in the report is measured in.

    Raises
    ------
    UserError
        For nothing extracted, data that cannot be divided, pictures that are gone, or a loss that is no number.
    KeyboardInterrupt
        On Ctrl-C before the first epoch is finished; later, the best epoch so far makes the run.
    """
    began = clock()
    division = divide(
        workspace,
        workspace.load(dataset, space),
        test_size=settings.test_size,
        seed=settings.seed,
        shares=settings.split,
        progress=progress,
    )
    fit, val = set_aside(division, settings.val_size, settings.seed)
    classes = tuple(map(str, np.unique(division.names[fit])))
    if len(classes) < 2:
        raise UserError(
            f"Expected training pictures of two classes at least, received {len(fit)} of {len(classes)}. Add pictures."
        )
    decoding, notes = decoding_of(workspace, division.data.space), list(division.notes)
    if (division.split.part == VAL).any():
        notes += settings.training().idle_val_size(OWN_PART)
    setup = Setup(settings, division, decoding, classes, fit, val)
    heads = known_answers(
        workspace, division.sha256
    )  # what is damaged ends the command before it has trained
    training, judging = _samples(setup, say)
    import_keras_quietly()
    from classify.commands.baseline.network import build_network, finished
    from classify.training.loop import logits_of, write_weights

    network = build_network(settings.input_size, len(classes), settings.seed)
    parameters = int(network.count_params())
    say(
        f"{counted(len(fit), 'picture trains', 'pictures train')} {parameters:,} parameters, {len(val):,} validate"
    )
    checkpoint, stopped, interrupted = _train(network, training, judging, settings, say)
    notes += [stopped] if stopped else []
    write_weights(network, checkpoint.best)
    logits, known = logits_of(network, judging, settings.batch_size), judging.codes >= 0
    temperature = fit_temperature(logits[known], judging.codes[known])
    model = finished(network, classes, temperature, decoding)

    rows = np.flatnonzero(division.split.part == TEST)
    when = now()
    manifest = division.data.manifest
    probability = answer(model, manifest, rows, [(settings.input_size, decoding)], len(classes), say)
    there = np.isfinite(probability[:, 0])
    rows, probability = rows[there], probability[there]
    if lost := len(division.truth) - len(rows):
        notes.append(
            counted(
                lost,
                "test picture could not be read again and is left out",
                "test pictures could not be read again and are left out",
            )
        )
    if not len(rows):
        raise UserError(
            "Expected to read the test pictures again, but none is there. Restore them, or run extract again."
        )
    truth, predicted = division.names[rows], np.array(classes)[probability.argmax(axis=1)]
    paths = [manifest.paths[row] for row in rows]
    log = Log(workspace, division.test_hash)
    log.add(_reading(setup, when))
    notes += log.notes
    folder = workspace.new_run(NAME)
    outcome = Outcome(
        run=folder,
        history=History(
            checkpoint.epochs,
            checkpoint.best_epoch,
            [],
            1.0,
            len(val),
            planned=settings.epochs,
            steps=-(-len(fit) // settings.batch_size),
        ),
        evaluation=evaluate(truth, predicted, probability, np.array(classes)),
        parameters=parameters,
        seconds=clock() - began,
        comparison=against_best_head(heads, paths, truth, predicted, settings.seed),
        notes=notes,
        interrupted=interrupted,
    )
    tested = Tested(rows, predicted, probability, softmax(logits / temperature, axis=1))
    return keep(workspace, outcome, setup, model, tested, lambda: clock() - began)


def _samples(setup: Setup, say: Say) -> tuple[TrainingRows, TrainingRows]:
    """Training and validating pictures, in memory if both fit there."""
    settings, division, decoding, classes = setup.settings, setup.division, setup.decoding, setup.classes
    manifest, size, seed = division.data.manifest, settings.input_size, settings.seed
    fit, val = setup.fit, setup.val
    codes = {name: code for code, name in enumerate(classes)}
    pixels = [
        Pixels(manifest, fit, size, decoding, settings.augment, seed),
        Pixels(manifest, val, size, decoding, "none", seed),
    ]
    needed = sum(each.bytes for each in pixels)
    if needed <= settings.max_memory_gb * GB:
        say(f"decoding {counted(len(fit) + len(val), 'picture')} once: {needed / GB:.2f} GB of memory")
        for each in pixels:
            each.hold(say)
    else:
        say(
            f"the decoded pictures would take {needed / GB:.2f} GB, more than --max-memory-gb "
            f"{settings.max_memory_gb:g}: they are read and decoded in each epoch, which is slower"
        )
    weight = division.weight_of(fit)
    weight = None if weight is None else weight / weight.mean()
    views = settings.training().views
    training, judging = (
        np.array([codes.get(name, -1) for name in division.names[rows].tolist()]) for rows in (fit, val)
    )
    return (
        TrainingRows(pixels[0], fit, training, len(classes), weight, views),
        TrainingRows(pixels[1], val, judging, len(classes)),
    )


def _train(
    network: keras.Model, training: TrainingRows, judging: TrainingRows, settings: Settings, say: Say
) -> tuple[Checkpoint, str, bool]:
    """Train; returns the last state, why it stopped early, and whether that was Ctrl-C."""
    from classify.training.loop import Watch, train

    last: list[Checkpoint] = []

    def keep(checkpoint: Checkpoint) -> None:
        last[:] = [checkpoint]

    watch = Watch(say, keep=keep, origin="untrained")
    stopped, interrupted = "", False
    try:
        stopped = train(network, training, judging, settings.training(), watch=watch).stopped
    except KeyboardInterrupt:
        if not last:
            raise
        interrupted = True
        stopped = (
            f"stopped by Ctrl-C after {counted(len(last[0].epochs) - 1, 'epoch')}: the best of them is kept"
        )
        say(stopped)
    if not last:
        raise UserError(f"Expected a finite loss in the first epoch, but {stopped}.")
    return last[0], stopped, interrupted


def _reading(setup: Setup, tested: str) -> Reading:
    return Reading(
        test=setup.division.test_hash,
        command=NAME,
        head=NAME,
        params=asdict(setup.settings),
        trained_on=part_hash(setup.division.data.manifest, setup.fit),
        space="",  # of pixels, not of embeddings
        time=tested,
    )


def run(options: BaselineOptions, say: Say) -> Outcome:
    """Answer the command line."""
    workspace = Workspace.locate(options.workspace)
    return baseline(
        workspace,
        options.settings,
        dataset=options.dataset,
        space=options.space,
        say=say,
        progress=bar(say),
    )
