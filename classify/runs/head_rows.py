"""The rows that a head takes: embedded where they are missing, and their parts put side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cache.manifest import Manifest
from cache.storage.rejects import Reject
from cache.storage.store import Store
from cache.workspace import Workspace
from classify.runs.head_file import LoadedHead, check_space
from extract.backbones.backbone import Backbone
from extract.embedding.extractor import Extractor, embed_all
from extract.embedding.picture_reader import Picture
from extract.embedding.progress import Progress
from extract.embedding.runner import Outcome
from extract.embedding.spaces import backbone_of, decoding_of
from extract.embedding.thumbnails import thumbnails_of
from extract.engines.engine import Engine
from extract.pictures.decoding import RejectedImage
from extract.pictures.look import Look, look_at
from extract.settings import Options


class HeadRows:
    """The spaces that a head takes its rows from, and no other; their networks start when a picture needs them."""

    def __init__(
        self,
        workspace: Workspace,
        loaded: LoadedHead,
        options: Options,
        trust: bool,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._workspace, self._loaded, self._options = workspace, loaded, options
        self._trust, self._note = trust, note

    @cached_property
    def backbones(self) -> list[Backbone]:
        """That of each input; UserError for one that is gone, or that this user did not name."""
        spaces = [each.space for each in self._loaded.inputs]
        return [backbone_of(self._workspace.store(space), trust=self._trust) for space in spaces]

    @cached_property
    def extractors(self) -> list[Extractor]:
        """One of each input, in their order.

        Raises
        ------
        UserError
            When one can no longer give the rows that the head was trained on.
        """
        made = []
        for each, backbone in zip(self._loaded.inputs, self.backbones, strict=True):
            space = each.space
            decoding = decoding_of(self._workspace, space)
            options = replace(self._options, dtype=space.dtype)
            made.append(Extractor(self._workspace, backbone, decoding, options, self._note))
        pairs = zip(self._loaded.inputs, made, strict=True)
        width = sum(each.width(extractor.dim) for each, extractor in pairs)
        check_space(self._loaded, [extractor.space for extractor in made], width)
        return made

    def embed(
        self, manifest: Manifest, progress: Progress, pictures: Mapping[int, Picture] | None = None
    ) -> tuple[NDArray[np.bool_], list[Reject]]:
        """Embed what has no embedding yet, in each space; a file is read and decoded once for all of them.

        Parameters
        ----------
        manifest : Manifest
            n pictures; keys and stat columns are completed in place.
        progress : Progress
        pictures : mapping, optional
            Those of them that are no files.

        Returns
        -------
        present : (n,) bool
            Which have a row in every space.
        rejects : list of Reject
            One of each other picture.
        """
        for extractor in self.extractors:
            extractor.store.create()  # somebody may have tidied up since
        outcomes = [Outcome() for _ in self.extractors]
        todo = np.flatnonzero(~np.logical_and.reduce(self._there(manifest)))
        embed_all(self.extractors, manifest, todo, progress, outcomes, pictures)
        there, reasons = self._there(manifest), dict[str, Reject]()
        for extractor, has, outcome in zip(self.extractors, there, outcomes, strict=True):
            for reject in extractor.rejects(manifest, has, outcome):
                reasons.setdefault(reject.path, reject)
        present = np.logical_and.reduce(there)
        return present, [reasons[manifest.paths[row]] for row in np.flatnonzero(~present).tolist()]

    def _there(self, manifest: Manifest) -> list[NDArray[np.bool_]]:
        return [manifest.hashed & each.store.contains(manifest.key) for each in self.extractors]

    def there(self, keys: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of (n, 32) keys have a row in every space, (n,)."""
        return np.logical_and.reduce([each.store.contains(keys) for each in self.extractors])

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First column of each part of what `gather` returns, and one past its last."""
        pairs = zip(self._loaded.inputs, self.extractors, strict=True)
        stops = np.cumsum(
            [width for each, extractor in pairs for width in each.widths(extractor.dim)]
        ).tolist()
        return list(zip([0, *stops], stops, strict=False))

    @cached_property
    def _engines(self) -> list[Engine]:
        return [extractor.start() for extractor in self.extractors]

    @property
    def lanes(self) -> int:
        """From how many threads `look` may be called at once."""
        return min(engine.lanes for engine in self._engines)

    def look(self, data: bytes) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Embed the bytes of a picture file, of which nothing is kept: (D,) as `gather`, and its (s, s) thumbnail.

        Raises
        ------
        RejectedImage
            As by `extract.pictures.decoding.decode`.
        """
        looks = [Look(each.backbone.input_size, each.decoding, thumbnail=True) for each in self.extractors]
        seen = look_at(data, b"", looks)
        rows, thumbnail = [], None
        for each, engine, look in zip(self._loaded.inputs, self._engines, looks, strict=True):
            found = seen[look]
            if isinstance(found, RejectedImage):
                raise found
            row = engine.embed(found.pixels[None])[0].astype(each.space.dtype)
            rows.append(row.astype(np.float32)[each.columns])
            thumbnail = found.thumbnail if thumbnail is None else thumbnail
        assert thumbnail is not None
        return np.concatenate(rows), thumbnail

    def thumbnails(self) -> Store:
        """Those that go with the first input."""
        return thumbnails_of(self._workspace, self.extractors[0].space)

    def gather(self, keys: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Read the rows of (n, 32) keys: (n, D) float32, as the head takes them."""
        pairs = zip(self._loaded.inputs, self.extractors, strict=True)
        rows = [extractor.store.gather(keys)[:, each.columns] for each, extractor in pairs]
        return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)
