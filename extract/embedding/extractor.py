"""A backbone bound to its space, which embeds what has no row there yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from cache.manifest import Manifest
from cache.space import LAYER
from cache.storage.rejects import Reject
from cache.storage.store import Store
from cache.versions import versions
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.embedding.file_reader import FileReader
from extract.embedding.picture_reader import Picture, PictureReader
from extract.embedding.progress import Progress
from extract.embedding.reading import Claims, Reader, Taker
from extract.embedding.runner import Branch, Outcome, run
from extract.embedding.spaces import keep_calibration, make_space
from extract.embedding.thumbnails import Beside, facts_store, thumbnails_of
from extract.engines.choice import choose_engine, learn_network, open_engine
from extract.engines.engine import Engine
from extract.machine import usable_cores
from extract.pictures.augmentation import View
from extract.pictures.decoding import limits
from extract.pictures.look import Look
from extract.settings import Decoding, Options
from extract.sources.places.place import soon


class EmbedAll(Protocol):
    """`embed_all`, or what does the same elsewhere."""

    def __call__(
        self,
        extractors: Sequence[Extractor],
        manifest: Manifest,
        rows: np.ndarray,
        progress: Progress,
        outcomes: Sequence[Outcome],
    ) -> None: ...


class Extractor:
    """A backbone bound to its space in a workspace; starts its engine when the first picture needs it.

    With a `view` its rows are those of that augmentation of each picture, in a space of their own. An engine that is
    `started` is used as it is; several extractors may share it.
    """

    def __init__(
        self,
        workspace: Workspace,
        backbone: Backbone,
        decoding: Decoding,
        options: Options,
        note: Callable[[str], None] = lambda text: None,
        view: View | None = None,
        started: Engine | None = None,
    ) -> None:
        self.backbone, self.decoding, self.options, self.view = backbone, decoding, options, view
        if started is None:
            self.engine = choose_engine(options.engine, backbone, note)
            self.network, started = learn_network(backbone, self.engine, note, options.engine == "auto")
        if started is not None:
            self.engine, self.network = started.name, started.network
        self._started = started
        self.space = make_space(backbone, self.network, decoding, options.dtype, view)
        self.store: Store = workspace.store(self.space)
        keep_calibration(self.store, backbone)
        self.workspace = workspace

    def embed(
        self,
        manifest: Manifest,
        rows: np.ndarray,
        progress: Progress,
        outcome: Outcome,
        pictures: Mapping[int, Picture] | None = None,
    ) -> None:
        """Give every picture at `rows` a row or a reject: `embed_all` with this space alone."""
        embed_all([self], manifest, rows, progress, [outcome], pictures)

    def sides(self, outcome: Outcome) -> tuple[Taker, Branch]:
        """Return the two sides of this space in a run: what it takes of the pictures read, and what becomes of that."""
        force, refused = self.options.force, {} if self.options.force else self.refused()
        claims = Claims(_contains_none if force else self.store.contains)
        # Activations go with embeddings that have thumbnails and facts.
        plain = self.view is None and not self.backbone.pooling.startswith(LAYER)
        stores = (thumbnails_of, facts_store) if plain else ()
        besides = [Beside(store(self.workspace, self.space), again=force) for store in stores]

        def write(keys: np.ndarray, rows: np.ndarray, rejects: list[Reject]) -> None:
            if len(keys):
                for beside in besides:  # first: a row that is there has its thumbnail
                    beside.seal([key.tobytes() for key in keys])
                self.store.add(keys, rows)
            self.store.add_rejects(r for r in rejects if r.key is not None and r.key not in refused)
            claims.settle(keys)

        look = Look(self.backbone.input_size, self.decoding, self.view, thumbnail=plain)
        taker = Taker(look, claims, refused, *besides)
        return taker, Branch(self.start, write, outcome, self.options.dtype)

    @property
    def dim(self) -> int:
        """D, how many numbers an embedding has."""
        return self.network.dim

    def embed_known(
        self,
        manifest: Manifest,
        rows: np.ndarray,
        progress: Progress,
        outcome: Outcome | None = None,
        embed: EmbedAll | None = None,
    ) -> np.ndarray:
        """Give rows (indices) of a hashed manifest embeddings, and return those that have none afterwards.

        The manifest stays as it is: `embed` would take the key by which a picture is known from a file that is gone or
        has changed.
        """
        if len(rows):
            mine, there = manifest.select(rows), np.arange(len(rows))
            (embed or embed_all)([self], mine, there, progress, [outcome or Outcome()])
        return rows[~self.store.contains(manifest.key[rows])]

    def refused(self) -> dict[bytes, str]:
        """Key to reason of the pictures that this decoder is known to refuse."""
        return self.store.rejects(limits(self.decoding))

    def rejects(
        self, manifest: Manifest, present: np.ndarray, outcome: Outcome, else_: str = "unknown"
    ) -> list[Reject]:
        """Name each file without a row, with the reason found now or, where nothing was tried again, before.

        present : (n,) bool, the rows of the manifest that have an embedding
        else_ : the reason where there is none
        """
        fresh = {reject.path: reject for reject in outcome.rejects}
        known, limit = self.refused(), limits(self.decoding)
        rejects = []
        for index in np.flatnonzero(~present).tolist():
            path, key = manifest.paths[index], manifest.key[index].tobytes()
            rejects.append(fresh.get(path) or Reject(key, path, known.get(key, else_), limit))
        return rejects

    def start(self) -> Engine:
        """Start the engine, or return the one that runs."""
        if self._started is None:
            options = self.options
            self._started = open_engine(self.engine, self.backbone, self.network, options.batch_size)
        self.store.record_origin(
            weights=self.backbone.weights,
            model=self.backbone.location,
            engine=self._started.name,
            device=self._started.device,
            batch_size=self._started.batch_size,
            max_pixels=max(self.decoding.max_pixels, self.store.origin().get("max_pixels", 0)),
            versions=versions("ai-edge-litert", "keras", "numpy", "pillow", "simplejpeg", "cykooz-resizer"),
        )
        return self._started


def embed_all(
    extractors: Sequence[Extractor],
    manifest: Manifest,
    rows: np.ndarray,
    progress: Progress,
    outcomes: Sequence[Outcome],
    pictures: Mapping[int, Picture] | None = None,
) -> None:
    """Give every picture at some rows of a manifest a row or a reject in the space of each extractor.

    A file is read, hashed and decoded once for all of them; a picture that some spaces have is computed for the others
    only.

    Parameters
    ----------
    extractors : sequence of Extractor
        One or more; the first one's options say how many threads there are.
    manifest : Manifest
        Its keys and stat columns are completed in place.
    rows : (n,) int array
    progress : Progress
        Told of files, not of rows.
    outcomes : sequence of Outcome
        One for each extractor.
    pictures : mapping of int to Picture, optional
        Those rows that are no files.
    """
    progress.start(len(rows))
    if not len(rows):
        return
    sides = [each.sides(outcome) for each, outcome in zip(extractors, outcomes, strict=True)]
    takers, branches = [taker for taker, _ in sides], [branch for _, branch in sides]
    reader: Reader = FileReader(manifest, takers)
    if pictures:
        reader = PictureReader(pictures, manifest, takers, reader)
    workers = extractors[0].options.workers or usable_cores()
    enough = soon(manifest.root, (manifest.paths[int(row)] for row in rows), manifest.size[rows])
    try:
        run(rows.tolist(), reader, branches, workers=workers, on_progress=progress.advance)
    finally:
        enough()


def _contains_none(keys: np.ndarray) -> np.ndarray:
    return np.zeros(len(keys), bool)
