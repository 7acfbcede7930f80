"""Where training gets its activations from: the cache, filled first, or the frozen part itself in every epoch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cache.errors import UserError
from cache.text import counted
from classify.commands.finetune.activations.filling import at_layer, fill, open_parts, planned_bytes
from classify.commands.finetune.activations.lower_border import run_up
from classify.commands.finetune.activations.reading import Live
from classify.commands.finetune.result import Tuned
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.start import Start
from classify.training.batches import Activations, TrainingRows
from classify.training.settings import GB
from extract.engines.choice import choose_engine, learn_network, open_engine
from extract.engines.cutting import know_lower_part
from extract.pictures.augmentation import View
from extract.sources.changes import left


@dataclass(frozen=True)
class Supply:
    """Where the activations of training and validating pictures come from."""

    start: Start
    source: Activations
    exact: Activations  # computed from the files, in float32
    lost: Sequence[int] = ()  # rows that cannot be read again

    @property
    def notes(self) -> list[str]:
        """What a person should know, one line each."""
        if not self.lost:
            return []
        lost = counted(
            len(self.lost),
            "picture could not be read again: it neither trains nor validates",
            "pictures could not be read again: they neither train nor validate",
        )
        return [lost]

    def of(self, rows: np.ndarray, *, trains: bool = True) -> TrainingRows:
        """These rows, to train on or to judge by; only those that train have views and weights."""
        rows = self._there(rows)
        start = self.start
        return TrainingRows(
            self.source,
            rows,
            start.codes(rows),
            len(start.linear.classes),
            start.weight(rows) if trains else None,
            start.settings.views if trains else 0,
        )

    def live(self) -> TrainingRows:
        """All validating pictures, exactly."""
        rows = self._there(self.start.val)
        return TrainingRows(self.exact, rows, self.start.codes(rows), len(self.start.linear.classes))

    def _there(self, rows: np.ndarray) -> np.ndarray:
        there = rows[~np.isin(rows, self.lost)]
        if not len(there):
            if gone := left(self.start.data.name, self.start.data.manifest):
                raise UserError(f"Expected pictures to train and to validate on, but {gone}.")
            raise UserError(
                f"Expected pictures to train and to validate on, but none of {len(rows):,} can be read."
            )
        return there


def choose_supply(session: Session, start: Start, tuned: Tuned) -> Supply:
    """Cache the activations of all pictures in all views, or say why they are computed in every epoch."""
    settings, options, say = start.settings, session.options, session.say
    manifest, backbone, progress = start.data.manifest, tuned.backbone, session.progress
    views: list[View | None] = [
        None,  # the plain picture
        *(View(settings.augment, number + 1, settings.seed) for number in range(settings.views)),
    ]
    size, decoding = backbone.input_size, tuned.decoding
    if not tuned.border.layer:
        say(
            "nothing below what trains can be cached: each epoch decodes the pictures and runs the whole network"
        )
        pixels = Live(manifest, views, size, decoding, None)
        return Supply(start, pixels, pixels)
    bottom = at_layer(backbone, tuned.border.layer)
    engine = choose_engine(options.engine, bottom)
    if engine == "litert":
        know_lower_part(bottom, tuned.network)
    network, running = learn_network(bottom, engine, progress.note, options.engine == "auto")
    running = running or open_engine(engine, bottom, network, options.batch_size)
    live = Live(manifest, views, size, decoding, running)
    train, everything = start.trained, np.union1d(start.train, start.val)
    shape = tuple(map(int, tuned.network.get_layer(tuned.border.layer).output.shape[1:]))
    planned = planned_bytes(shape, settings.dtype, len(everything), len(train), settings.views)
    free = shutil.disk_usage(session.workspace.root).free
    looks = f"plain and in {counted(settings.views, 'view')}" if settings.views else "plain"
    text = f"activations {' x '.join(map(str, shape))}, {looks}: {planned / GB:.2f} GB as {settings.dtype}"
    wanted = [(view, train if number else everything) for number, view in enumerate(views)]
    options = replace(options, dtype=settings.dtype)
    parts = open_parts(session.workspace, bottom, decoding, options, manifest, wanted, running)
    missing = sum(len(part.todo) for part in parts)
    too_large = planned > settings.max_cache_gb * GB
    if too_large or missing * planned_bytes(shape, settings.dtype, 1, 0, 0) > free:
        limit = f"--max-cache-gb {settings.max_cache_gb:g}" if too_large else "the disk has free"
        say(f"{text}, more than {limit}: the frozen part runs live in every epoch, which is slower")
        return Supply(start, live, live)
    say(f"{text}, kept in the cache")
    parts, found = run_up(session.workspace, manifest, parts, tuned.network, tuned.border.layer, progress)
    if found:
        say(f"{found:,} of them were computed from those of a lower border: no picture was read for it")
    cached, lost = fill(manifest, parts, progress)
    supply = Supply(start, cached, live, lost.tolist())
    for note in supply.notes:
        say(note)
    return supply
