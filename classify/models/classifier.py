"""A run that answers for pictures: a head on embeddings from the cache, or a model.keras on pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.space import Space
from cache.storage import trusted
from cache.storage.files import open_regular
from cache.storage.rejects import Reject
from cache.workspace import Workspace
from classify.data.known import Known
from classify.models.evidence import Evidence, Trained, nearest_training, training_pictures
from classify.models.model_file import answering, ask, load_model
from classify.models.run_model import TunedRun
from classify.runs.folder import OWN_MODEL, find_run
from classify.runs.head_file import check_space, load_head
from classify.runs.head_rows import HeadRows
from classify.runs.inputs import inputs_of, to_record
from classify.runs.record import record_of
from extract.embedding.file_reader import FileReader
from extract.embedding.picture_reader import Picture, PictureReader
from extract.embedding.progress import Progress
from extract.embedding.reading import Claims, Read, Reader, Taker
from extract.embedding.runner import Branch, Outcome
from extract.embedding.runner import run as run_pipeline
from extract.embedding.spaces import decoding_of
from extract.machine import import_keras_quietly, usable_cores
from extract.pictures.decoding import decode
from extract.pictures.look import Look
from extract.settings import Decoding, Options

if TYPE_CHECKING:
    import keras

MODEL = ".keras"  # the suffix by which a file is told from the folder of a run


@dataclass(frozen=True)
class Answered:
    """What a run says of the n pictures of a manifest, whose keys are known now."""

    present: np.ndarray  # (n,) bool: the m that could be read
    probability: np.ndarray  # (m, C), in the order of the manifest
    rejects: list[Reject]
    rows: np.ndarray | None = None  # (m, D) what a head was asked about


@dataclass(frozen=True, eq=False)
class Seen:
    """What a run says of one picture, and what a head was asked about."""

    probability: np.ndarray  # (C,)
    row: np.ndarray | None = None  # (D,) float32
    thumbnail: np.ndarray | None = None  # (s, s) uint8


class HeadClassifier:
    """The head of a run of fit-head; what is embedded for it is kept in the cache, as by `extract`."""

    def __init__(
        self,
        workspace: Workspace,
        run: Path,
        record: dict[str, Any],
        options: Options,
        trust: bool,
        note: Any = lambda text: None,
    ) -> None:
        self.run, self.record = run, record
        self._loaded = load_head(workspace, run, trust=trust, record=record)
        self._rows = HeadRows(workspace, self._loaded, options, trust, note)
        inputs = self._loaded.inputs
        self.source = {
            "head": str(run),
            "head_sha256": record["head"]["sha256"],
            "space": inputs[0].space.id,
            "inputs": to_record(inputs),
        }

    @property
    def classes_(self) -> np.ndarray:
        """(C,) class names."""
        return self._loaded.head.classes_

    def check(self, spaces: Sequence[Space]) -> None:
        """Refuse other spaces than the head's."""
        check_space(self._loaded, spaces, self._loaded.head.n_features_in_)

    def answer(
        self, manifest: Manifest, progress: Progress, pictures: Mapping[int, Picture] | None = None
    ) -> Answered:
        """Embed what has no embedding yet, in the head's spaces and no other, and ask the head."""
        present, rejects = self._rows.embed(manifest, progress, pictures)
        if not present.any():
            return Answered(present, np.empty((0, len(self.classes_))), rejects)
        rows = self._rows.gather(manifest.key[present])
        return Answered(present, self._loaded.head.predict_proba(rows), rejects, rows)

    def evidence(self, rows: np.ndarray, k: int) -> Evidence:
        """The k training pictures most like each of (m, D) rows; see `classify.models.evidence`."""
        return nearest_training(self.run, self._rows, rows, k)

    @property
    def lanes(self) -> int:
        """From how many threads `see` may be called at once."""
        return self._rows.lanes

    def see(self, data: bytes) -> Seen:
        """Answer for the bytes of a picture file, of which nothing is kept; RejectedImage where it is none."""
        row, thumbnail = self._rows.look(data)
        return Seen(self._loaded.head.predict_proba(row[None])[0], row, thumbnail)

    def known(self) -> tuple[Trained, Known]:
        """The training pictures, held ready to be compared with others; UserError as by `evidence`."""
        trained = training_pictures(self.run, self._rows)
        rows = self._rows.gather(trained.key)
        return trained, Known(trained.key, rows, self._rows.spans, self._rows.thumbnails())


@dataclass(frozen=True)
class ModelClassifier:
    """A model from pixels to probabilities; its answers are not kept in the cache."""

    run: Path
    record: dict[str, Any]
    source: dict[str, Any]
    classes: Sequence[str]
    network: keras.Model  # what answers in the model, for squares
    asked: Sequence[tuple[int, Decoding]]  # how pictures become each of the squares that it takes
    workers: int | None = None
    spaces: Sequence[Space] = ()  # in which it was trained

    @classmethod
    def of_run(
        cls, workspace: Workspace, run: Path, record: dict[str, Any], options: Options, trust: bool
    ) -> ModelClassifier:
        """Load the model of a run of finetune or baseline."""
        _refuse_litert(run, options)
        tuned = TunedRun(workspace, run, record, trust)
        source = {"model": str(tuned.file), "model_sha256": record["model"]["sha256"]}
        spaces = [each.space for each in inputs_of(record)]
        most = decoding_of(workspace, spaces[0]).max_pixels
        asked = [(size, replace(decoding, max_pixels=most)) for size, decoding in tuned.artefact.asked]
        network, classes = answering(tuned.model), tuned.artefact.classes
        return cls(run, record, source, classes, network, asked, options.workers, spaces)

    @classmethod
    def of_file(cls, workspace: Workspace, file: Path, options: Options, trust: bool) -> ModelClassifier:
        """Load a file that `export --to keras` wrote, or the model.keras of a run."""
        _refuse_litert(file, options)
        with open_regular(file) as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if not trusted.admitted(digest, trust):
            raise trusted.refusal("a model", file, digest, workspace.root)
        import_keras_quietly()
        artefact = load_model(file)
        if len(artefact.model.input_shape) != 4:
            raise UserError(
                f"Expected a model that takes pictures in {file}, received one that takes embeddings, as "
                "`export --to saved-head` writes it. Name the run, or a file of `export --to keras`."
            )
        record = {"head": {"name": artefact.facts["head"]}}
        network = answering(artefact.model)
        source = {"model": str(file)}
        return cls(file, record, source, artefact.classes, network, artefact.asked, options.workers)

    @property
    def classes_(self) -> np.ndarray:
        """(C,) class names."""
        return np.array(self.classes)

    def check(self, spaces: Sequence[Space]) -> None:
        """Refuse other spaces than those in which the run began."""
        known = [space.id for space in self.spaces]
        if not known or {space.id for space in spaces} != {*known}:
            listed = ", ".join(each[:12] for each in known)
            trained = f"space{'s' if len(known) > 1 else ''} {listed}" if known else "the space"
            received = ", ".join(space.id[:12] for space in spaces)
            raise UserError(
                f"Expected {trained}, in which {self.run} was trained, received {received}. Leave --space out."
            )

    def answer(
        self, manifest: Manifest, progress: Progress, pictures: Mapping[int, Picture] | None = None
    ) -> Answered:
        """Ask the model, each distinct picture once."""
        answers: dict[bytes, np.ndarray] = {}

        def keep(keys: np.ndarray, rows: np.ndarray, rejects: list[Reject]) -> None:
            answers.update(zip((key.tobytes() for key in keys), rows, strict=True))

        claims, outcome = (
            Claims(lambda keys: np.array([key.tobytes() in answers for key in keys], bool)),
            Outcome(),
        )
        takers = [Taker(Look(*how), _Unclaimed()) for how in self.asked]
        reader: Reader = FileReader(manifest, takers)
        if pictures:
            reader = PictureReader(pictures, manifest, takers, reader)
        progress.start(len(manifest))
        run_pipeline(
            range(len(manifest)),
            _packed(reader, len(takers), claims),
            [Branch(lambda: _Unpacking(self), keep, outcome)],
            workers=self.workers or usable_cores(),
            on_progress=progress.advance,
        )
        present = np.array([key.tobytes() in answers for key in manifest.key], bool)
        rows = np.array([answers[key.tobytes()] for key in manifest.key[present]])
        return Answered(present, rows.reshape(-1, len(self.classes)), outcome.rejects)

    @property
    def lanes(self) -> int:
        """From how many threads `see` may be called at once."""
        return 1

    def see(self, data: bytes) -> Seen:
        """Answer for the bytes of a picture file; RejectedImage where it is none."""
        return Seen(ask(self.network, [decode(data, *how)[None] for how in self.asked])[0])


class _Unclaimed(Claims):
    """Has every picture read: whether it is to be answered for is asked once for all squares of it."""

    def __init__(self) -> None:
        super().__init__(lambda keys: np.zeros(len(keys), bool))

    def take(self, keys: Sequence[bytes]) -> list[bool]:
        return [True] * len(keys)


def _packed(reader: Reader, count: int, claims: Claims) -> Reader:
    """Put the squares of a picture one behind the other, (n,) uint8, as what one taker is given."""

    def read(indices: Sequence[int]) -> Iterator[Read]:
        for each in reader(indices):
            wanted = len(each.pixels) == count and claims.take([each.key])[0]
            squares = [each.pixels[number].ravel() for number in range(count)] if wanted else []
            pixels = {0: np.concatenate(squares)} if wanted else {}
            rejects = dict(zip([0], each.rejects.values(), strict=False))
            yield replace(each, pixels=pixels, rejects=rejects)

    return read


@dataclass(frozen=True)
class _Unpacking:
    """Asks a model for pictures that are packed, as an engine is asked."""

    classifier: ModelClassifier
    batch_size: int = 32
    lanes: int = 1

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        """(B, n) uint8 to (B, C) float32 probabilities."""
        sizes = [size for size, _ in self.classifier.asked]
        parts = np.split(pixels, np.cumsum([3 * size**2 for size in sizes])[:-1], axis=1)
        squares = [part.reshape(-1, size, size, 3) for part, size in zip(parts, sizes, strict=True)]
        return ask(self.classifier.network, squares)


def open_classifier(
    workspace: Workspace,
    named: str | None,
    *,
    options: Options | None = None,
    trust: bool = False,
    progress: Progress | None = None,
) -> HeadClassifier | ModelClassifier:
    """Load a run that answers: by its folder, by a .keras file that coldframe wrote, or the best.

    Raises
    ------
    UserError
        For a run that is not there, a head that cannot be trusted, or a model that is damaged.
    """
    options, note = options or Options(), (progress or Progress()).note
    if named and named.endswith(MODEL) and Path(named).is_file():
        return ModelClassifier.of_file(workspace, Path(named), options, trust)
    run = find_run(workspace, named)
    record = record_of(run)
    if record.get("command") in OWN_MODEL:
        return ModelClassifier.of_run(workspace, run, record, options, trust)
    return HeadClassifier(workspace, run, record, options, trust, note)


def _refuse_litert(run: Path, options: Options) -> None:
    if options.engine == "litert":
        raise UserError(
            f"Expected --engine auto or keras for {run}: it answers with a .keras model. "
            "`export --to tflite` makes a LiteRT file of it."
        )
