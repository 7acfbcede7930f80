"""`extract`: a folder of pictures becomes a manifest and sealed embeddings; what is there already is kept."""

import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from cache.manifest import Manifest
from cache.storage.store import Reject, Store
from cache.versions import versions
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.embedding.file_reader import FileReader
from extract.embedding.picture_reader import Picture, PictureReader
from extract.embedding.progress import Progress
from extract.embedding.runner import Claims, Embedder, Outcome, Reader, run
from extract.embedding.spaces import make_space
from extract.engines.choice import choose_engine, learn_network, open_engine
from extract.machine import usable_cores
from extract.pictures.augmentation import View
from extract.settings import Decoding, Options
from extract.sources.source import PART, _is_part, open_source, previous_manifests


@dataclass
class Summary:
    """What an extraction found and did; files = embedded + cached + rejected.

    A data set of which all files are rejected does not become the current one.
    """

    dataset: str
    space: str
    backbone: str
    engine: str
    files: int = 0
    embedded: int = 0
    cached: int = 0
    rejected: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0
    conflicts: list[str] = field(default_factory=list)  # paths whose bytes carry more than one label
    rejects: list[Reject] = field(default_factory=list)

    def to_json(self) -> dict:
        """The figures for scripts, rejects as path and reason."""
        return asdict(self) | {"rejects": [{"path": r.path, "reason": r.reason} for r in self.rejects]}


class Extractor:
    """A backbone bound to its space in a workspace; starts its engine when the first picture needs it.

    With a `view` its rows are those of that augmentation of each picture, in a space of their own.
    """

    def __init__(
        self,
        workspace: Workspace,
        backbone: Backbone,
        decoding: Decoding,
        options: Options,
        note: Callable[[str], None] = lambda text: None,
        view: View | None = None,
    ) -> None:
        self.backbone, self.decoding, self.options, self.view = backbone, decoding, options, view
        self.engine = choose_engine(options.engine, backbone)
        self.network, self._started = learn_network(backbone, self.engine, note, options.engine == "auto")
        if self._started is not None:
            self.engine = self._started.name
        self.space = make_space(backbone, self.network, decoding, options.dtype, view)
        self.store: Store = workspace.store(self.space)

    def embed(
        self,
        manifest: Manifest,
        rows: np.ndarray,
        progress: Progress,
        outcome: Outcome,
        pictures: Mapping[int, Picture] | None = None,
    ) -> None:
        """Give every picture at `rows` (indices) of the manifest a row or a reject.

        The manifest's keys and stat columns are completed in place. `pictures` are those rows that are no files.
        """
        force, refused = self.options.force, {} if self.options.force else self.refused()
        claims = Claims(_contains_none if force else self.store.contains)

        def write(keys: np.ndarray, rows: np.ndarray, rejects: list[Reject]) -> None:
            if len(keys):
                self.store.add(keys, rows)
            self.store.add_rejects(r for r in rejects if r.key is not None and r.key not in refused)
            claims.settle(keys)

        size, decoding = self.backbone.input_size, self.decoding
        reader: Reader = FileReader(manifest, size, decoding, claims, refused, self.view)
        if pictures:
            reader = PictureReader(pictures, manifest, size, decoding, claims, reader)
        progress.start(len(rows))
        run(
            rows.tolist(),
            reader,
            self.start,
            write,
            outcome,
            workers=self.options.workers or usable_cores(),
            on_progress=progress.advance,
        )

    @property
    def dim(self) -> int:
        """D, how many numbers an embedding has."""
        return self.network.dim

    def embed_known(
        self, manifest: Manifest, rows: np.ndarray, progress: Progress, outcome: Outcome | None = None
    ) -> np.ndarray:
        """Give rows (indices) of a hashed manifest embeddings, and return those that have none afterwards.

        The manifest stays as it is: `embed` would take the key by which a picture is known from a file that is gone or
        has changed.
        """
        if len(rows):
            self.embed(manifest.select(rows), np.arange(len(rows)), progress, outcome or Outcome())
        return rows[~self.store.contains(manifest.key[rows])]

    def refused(self) -> dict[bytes, str]:
        """Key to reason of the pictures that this decoder is known to refuse."""
        return self.store.rejects(self.decoding.limits)

    def rejects(
        self, manifest: Manifest, present: np.ndarray, outcome: Outcome, else_: str = "unknown"
    ) -> list[Reject]:
        """Name each file without a row, with the reason found now or, where nothing was tried again, before.

        present : (n,) bool, the rows of the manifest that have an embedding
        else_ : the reason where there is none
        """
        fresh = {reject.path: reject for reject in outcome.rejects}
        known, limits = self.refused(), self.decoding.limits
        rejects = []
        for index in np.flatnonzero(~present):
            path, key = manifest.paths[index], manifest.key[index].tobytes()
            rejects.append(fresh.get(path) or Reject(key, path, known.get(key, else_), limits))
        return rejects

    def start(self) -> Embedder:
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
            versions=versions("ai-edge-litert", "keras", "numpy", "pillow"),
        )
        return self._started


def extract(
    workspace: Workspace,
    source: Path,
    backbone: Backbone,
    decoding: Decoding,
    options: Options,
    *,
    name: str | None = None,
    progress: Progress | None = None,
    data_dir: str | None = None,
) -> Summary:
    """Embed what a source holds (see `extract.sources.source.open_source`) into the workspace's cache.

    Returns
    -------
    Summary

    Raises
    ------
    UserError
        For a source that is not a data set, a backbone whose weights cannot be had, or a full disk. What
        was sealed before stays.
    """
    progress, began = progress or Progress(), time.monotonic()
    opened = open_source(workspace, source, data_dir=data_dir, note=progress.note)
    dataset = name or opened.name
    previous = previous_manifests(workspace, dataset, opened.path)
    found = opened.scan([] if options.rehash else previous)
    for note in found.notes:
        progress.note(note)
    if found.ignored:
        progress.note(
            f"{found.ignored:,} hidden files and folders (their names start with a dot) were passed over"
        )
    extractor = Extractor(workspace, backbone, decoding, options, progress.note)
    manifest, outcome = _part(found.manifest, options.shard), Outcome()
    hashed, refused = manifest.hashed, extractor.refused()
    if options.force:
        todo = np.ones(len(manifest), bool)
    else:
        todo = ~(hashed & extractor.store.contains(manifest.key))
        known = [i for i in np.flatnonzero(todo & hashed) if manifest.key[i].tobytes() in refused]
        todo[known] = False
    embedding_began = time.monotonic()
    try:
        extractor.embed(manifest, np.flatnonzero(todo), progress, outcome)
    finally:
        _save(workspace, dataset, manifest, options.shard, complete=bool(manifest.hashed.all()))
    embedding_took = time.monotonic() - embedding_began
    present = manifest.hashed & extractor.store.contains(manifest.key)
    if options.shard != (1, 1):
        workspace.remember(space=extractor.space.id)
    elif present.any():  # else no command could go on with it
        workspace.remember(space=extractor.space.id, dataset=dataset)
    unread = found.rejects if options.shard[0] == 1 else []  # of several parts, the first tells of them
    rejects = unread + extractor.rejects(manifest, present, outcome)
    conflicts = manifest.conflicts()
    if options.shard != (1, 1):
        progress.note(
            "this was one part: once all parts are done, run the same command without --shard; it joins them and "
            "embeds nothing again"
        )
    return Summary(
        dataset=dataset,
        space=extractor.space.id,
        backbone=backbone.name,
        engine=extractor.engine,
        files=len(manifest) + len(unread),
        embedded=outcome.embedded,
        cached=int(present.sum()) - outcome.embedded,
        rejected=len(rejects),
        seconds=round(time.monotonic() - began, 3),
        images_per_second=round(outcome.embedded / embedding_took, 1) if outcome.embedded else 0.0,
        conflicts=[manifest.paths[i] for i in np.flatnonzero(conflicts)],
        rejects=rejects,
    )


def _part(manifest: Manifest, shard: tuple[int, int]) -> Manifest:
    """Select part i of n by the hash of the path, so that every machine cuts alike without talking."""
    i, n = shard
    if n == 1:
        return manifest
    mine = [zlib.crc32(path.encode("utf-8", "surrogateescape")) % n == i - 1 for path in manifest.paths]
    return manifest.select(np.array(mine, bool))


def _save(
    workspace: Workspace, dataset: str, manifest: Manifest, shard: tuple[int, int], complete: bool
) -> None:
    i, n = shard
    if n > 1:
        workspace.save_manifest(f"{dataset}{PART}{i}-of-{n}", manifest)
        return
    workspace.save_manifest(dataset, manifest)
    if complete:
        for name in workspace.datasets():
            if _is_part(name, dataset):
                workspace.forget_manifest(name)


def _contains_none(keys: np.ndarray) -> np.ndarray:
    return np.zeros(len(keys), bool)
