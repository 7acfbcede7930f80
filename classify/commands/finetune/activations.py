"""What the frozen part of a network gives for a picture: read from the cache, or computed when it is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.space import LAYER
from cache.storage.rows import Rows
from cache.text import counted
from cache.workspace import Workspace
from classify.commands.finetune.result import Tuned
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.start import Start
from classify.training.batches import Activations, TrainingRows, load_for_training
from classify.training.settings import GB
from extract.backbones.backbone import Backbone
from extract.embedding.extractor import Extractor
from extract.embedding.progress import Progress, Say
from extract.embedding.runner import Embedder
from extract.engines.choice import choose_engine, learn_network, open_engine
from extract.machine import usable_cores
from extract.pictures.augmentation import View
from extract.settings import Decoding, Options
from extract.sources.changes import left


class Cached:
    """Activations of a data set in the cache, one space a view."""

    def __init__(self, manifest: Manifest, stores: Sequence[Extractor], rows: Sequence[np.ndarray]) -> None:
        self._places = []  # of each row among the keys of the view, -1 where it has none
        self._rows = []
        for extractor, present in zip(stores, rows, strict=True):
            place = np.full(len(manifest), -1)
            place[present] = np.arange(len(present))
            self._places.append(place)
            self._rows.append(Rows(extractor.store, manifest.key[present]))

    def take(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        """(b,) rows and (b,) views to (b, h, w, c) float32."""
        out: np.ndarray | None = None
        for view in np.unique(views):
            here = views == view
            places = self._places[view][rows[here]]
            if (places < 0).any():
                raise KeyError(f"no activations of view {view} for all of the rows asked for")
            found = self._rows[view].take(places)
            out = np.empty((len(rows), *found.shape[1:]), np.float32) if out is None else out
            out[here] = found
        assert out is not None
        return out


class Live:
    """Activations computed at each asking, in `views` by number; without an engine the decoded pictures themselves."""

    def __init__(
        self,
        manifest: Manifest,
        views: Sequence[View | None],
        size: int,
        decoding: Decoding,
        engine: Embedder | None,
    ) -> None:
        self._manifest, self._views, self._engine = manifest, views, engine
        self._size, self._decoding = size, decoding
        self._pool = ThreadPoolExecutor(usable_cores(), "live")
        self._lanes = None if engine is None else ThreadPoolExecutor(engine.lanes, "embed")

    def take(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        """(b,) rows and (b,) views to (b, h, w, c) float32, or (b, s, s, 3) uint8 without an engine."""
        pixels = np.stack(list(self._pool.map(self._pixels, rows.tolist(), views.tolist())))
        if self._engine is None or self._lanes is None:
            return pixels
        step = self._engine.batch_size
        parts = [pixels[start : start + step] for start in range(0, len(pixels), step)]
        return np.concatenate(list(self._lanes.map(self._engine.embed, parts)))

    def _pixels(self, row: int, view: int) -> np.ndarray:
        return load_for_training(
            self._manifest,
            row,
            self._size,
            self._decoding,
            self._views[view],
            again="extract, fit-head and finetune",
        )


def planned_bytes(shape: tuple[int, ...], dtype: str, plain: int, viewed: int, views: int) -> int:
    """Size of the cached activations: `plain` pictures once, `viewed` of them in `views` augmented views more."""
    return (plain + viewed * views) * int(np.prod(shape)) * np.dtype(dtype).itemsize


@dataclass(frozen=True)
class Part:
    """A view of some rows of a manifest: where its activations are kept, and which rows lack them."""

    extractor: Extractor
    rows: np.ndarray
    todo: np.ndarray  # rows without activations


def open_parts(
    workspace: Workspace,
    backbone: Backbone,
    decoding: Decoding,
    options: Options,
    manifest: Manifest,
    wanted: Sequence[tuple[View | None, np.ndarray]],
    note: Say = lambda line: None,
) -> list[Part]:
    """Look up which activations are in the cache.

    Parameters
    ----------
    backbone : Backbone
        With the pooling "layer:NAME" of the border.
    manifest : Manifest
        Hashed rows only.
    wanted : sequence of (view, rows)
        By number of the view; the rows of the manifest that need it.
    """
    parts = []
    for view, rows in wanted:
        extractor = Extractor(workspace, backbone, decoding, options, note, view=view)
        parts.append(Part(extractor, rows, rows[~extractor.store.contains(manifest.key[rows])]))
    return parts


def fill(manifest: Manifest, parts: Sequence[Part], progress: Progress) -> tuple[Cached, np.ndarray]:
    """Compute the activations that are not in the cache yet, view by view.

    Returns
    -------
    activations : Cached
    lost : (n,) int
        Rows that could not be read this time, or have changed; no view of them is to be asked for.
    """
    lost = np.zeros(len(manifest), bool)
    for part in parts:
        lost[part.extractor.embed_known(manifest, part.todo, progress)] = True
    present = [part.rows[~lost[part.rows]] for part in parts]
    return Cached(manifest, [part.extractor for part in parts], present), np.flatnonzero(lost)


def at_layer(backbone: Backbone, layer: str) -> Backbone:
    """The backbone up to a layer, whose output is what is read."""
    return replace(backbone, pooling=LAYER + layer)


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

    def of(self, rows: np.ndarray) -> TrainingRows:
        """These rows, to train on or to judge by; only training rows have views and weights."""
        rows = self._there(rows)
        start = self.start
        trains = np.isin(rows, start.train).all()
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
    network, running = learn_network(bottom, engine, progress.note, options.engine == "auto")
    running = running or open_engine(engine, bottom, network, options.batch_size)
    engine = running.name
    live = Live(manifest, views, size, decoding, running)
    train, everything = start.train, np.union1d(start.train, start.val)
    shape = tuple(map(int, tuned.network.get_layer(tuned.border.layer).output.shape[1:]))
    planned = planned_bytes(shape, settings.dtype, len(everything), len(train), settings.views)
    free = shutil.disk_usage(session.workspace.root).free
    looks = f"plain and in {counted(settings.views, 'view')}" if settings.views else "plain"
    text = f"activations {' x '.join(map(str, shape))}, {looks}: {planned / GB:.2f} GB as {settings.dtype}"
    wanted = [(view, train if number else everything) for number, view in enumerate(views)]
    options = replace(options, engine=engine, dtype=settings.dtype)
    parts = open_parts(session.workspace, bottom, decoding, options, manifest, wanted, progress.note)
    missing = sum(len(part.todo) for part in parts)
    too_large = planned > settings.max_cache_gb * GB
    if too_large or missing * planned_bytes(shape, settings.dtype, 1, 0, 0) > free:
        limit = f"--max-cache-gb {settings.max_cache_gb:g}" if too_large else "the disk has free"
        say(f"{text}, more than {limit}: the frozen part runs live in every epoch, which is slower")
        return Supply(start, live, live)
    say(f"{text}, kept in the cache")
    cached, lost = fill(manifest, parts, progress)
    supply = Supply(start, cached, live, lost.tolist())
    for note in supply.notes:
        say(note)
    return supply
