"""Where training gets its activations from: the cache, filled first, or the frozen part itself in every epoch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.text import counted
from classify.commands.finetune.activations.filling import Part, at_layer, fill, open_parts, planned_bytes
from classify.commands.finetune.activations.lower_border import run_up
from classify.commands.finetune.activations.reading import Cached, Live
from classify.commands.finetune.result import Tuned
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.start import Start
from classify.training.batches import Activations, TrainingRows
from classify.training.settings import GB
from extract.engines.choice import choose_engine, learn_network, open_engine
from extract.engines.cutting import know_lower_part
from extract.engines.engine import Engine
from extract.pictures.augmentation import View
from extract.sources.changes import left


@dataclass(frozen=True)
class Supply:
    """Where the activations of training and validating pictures come from."""

    start: Start
    source: Activations  # of pictures that train, in each view
    judged: Activations  # of pictures that validate
    exact: Activations  # of those, computed from the files, in float32
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
            self.source if trains else self.judged,
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


def choose_supply(session: Session, start: Start, tuned: Tuned, viewed: Tuned) -> Supply:
    """Cache the activations of all pictures in all views, or say why they are computed in every epoch.

    `viewed` is the network for pictures that train, in all views, and `tuned` that for those that validate, which are
    plain; they may be the same.
    """
    settings, say, manifest = start.settings, session.say, start.data.manifest
    plain, train, val = (None,), start.trained, np.unique(start.val)
    views = [*plain, *(View(settings.augment, number + 1, settings.seed) for number in range(settings.views))]
    if not tuned.border.layer:
        say(
            "nothing below what trains can be cached: each epoch decodes the pictures and runs the whole network"
        )
        sizes = dict.fromkeys(each.backbone.input_size for each in (viewed, tuned))
        live = [Live(manifest, views, size, tuned.decoding, None) for size in sizes]
        return Supply(start, live[0], live[-1], live[-1])
    if viewed is tuned:
        rows = [np.union1d(train, val), *[train] * settings.views]
        frozen = [_Frozen.open(session, start, tuned, views, rows)]
    else:
        frozen = [
            _Frozen.open(session, start, viewed, views, [train] * len(views)),
            _Frozen.open(session, start, tuned, plain, [val]),
        ]
    live = [each.live(manifest) for each in frozen]
    planned = sum(each.size(len(part.rows)) for each in frozen for part in each.parts)
    missing = sum(each.size(len(part.todo)) for each in frozen for part in each.parts)
    text = f"activations {', '.join(map(str, frozen))}: {planned / GB:.2f} GB as {settings.dtype}"
    too_large = planned > settings.max_cache_gb * GB
    if too_large or missing > shutil.disk_usage(session.workspace.root).free:
        limit = f"--max-cache-gb {settings.max_cache_gb:g}" if too_large else "the disk has free"
        say(f"{text}, more than {limit}: the frozen part runs live in every epoch, which is slower")
        return Supply(start, live[0], live[-1], live[-1])
    say(f"{text}, kept in the cache")
    ran = [each.run_up(session, manifest) for each in frozen]
    if found := sum(found for _, found in ran):
        say(f"{found:,} of them were computed from those of a lower border: no picture was read for it")
    lost = fill(manifest, [part for parts, _ in ran for part in parts], session.progress)
    cached = [Cached(manifest, each.parts, lost) for each in frozen]
    supply = Supply(start, cached[0], cached[-1], live[-1], lost.tolist())
    for note in supply.notes:
        say(note)
    return supply


@dataclass(frozen=True)
class _Frozen:
    """What lies below the border of a network for pictures of a size, what runs it, and what is kept of it."""

    tuned: Tuned
    engine: Engine
    views: Sequence[View | None]
    parts: Sequence[Part]  # one for each view
    dtype: str

    @classmethod
    def open(
        cls,
        session: Session,
        start: Start,
        tuned: Tuned,
        views: Sequence[View | None],
        rows: Sequence[np.ndarray],
    ) -> _Frozen:
        options, note, dtype = session.options, session.progress.note, start.settings.dtype
        below = at_layer(tuned.backbone, tuned.border.layer)
        name = choose_engine(options.engine, below)
        if name == "litert":
            know_lower_part(below, tuned.network)
        network, engine = learn_network(below, name, note, options.engine == "auto")
        engine = engine or open_engine(name, below, network, options.batch_size)
        options, wanted = replace(options, dtype=dtype), list(zip(views, rows, strict=True))
        parts = open_parts(
            session.workspace, below, tuned.decoding, options, start.data.manifest, wanted, engine
        )
        return cls(tuned, engine, views, parts, dtype)

    def __str__(self) -> str:
        number = len(self.views) - 1
        looks = f"plain and in {counted(number, 'view')}" if number else "plain"
        shape = " x ".join(map(str, self.tuned.activations))
        return f"{shape} of {self.tuned.backbone.input_size} pixels ({looks})"

    def size(self, pictures: int) -> int:
        """Bytes of the activations of so many."""
        return planned_bytes(self.tuned.activations, self.dtype, pictures)

    def live(self, manifest: Manifest) -> Live:
        backbone, decoding = self.tuned.backbone, self.tuned.decoding
        return Live(manifest, self.views, backbone.input_size, decoding, self.engine)

    def run_up(self, session: Session, manifest: Manifest) -> tuple[list[Part], int]:
        network, layer = self.tuned.network, self.tuned.border.layer
        return run_up(session.workspace, manifest, self.parts, network, layer, session.progress)
