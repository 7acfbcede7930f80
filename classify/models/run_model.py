"""A run as something that can be exported: its model, its head alone, and the answers both must give."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.space import Space
from cache.storage import trusted
from cache.storage.files import open_regular
from cache.versions import versions
from cache.workspace import Workspace, extract_command
from classify.models.layers import CLASSIFIER, Branch, build_head, build_rows_head, closed_form, join
from classify.models.model_file import ask, load_model
from classify.models.resizing import Square
from classify.runs.folder import OWN_MODEL
from classify.runs.head_file import LoadedHead, load_head
from classify.runs.head_rows import HeadRows
from classify.runs.inputs import Input
from classify.runs.predictions import Pictures
from classify.runs.record import read_record
from extract.embedding.progress import Progress, Say
from extract.embedding.spaces import decoding_of
from extract.engines.choice import learn_network
from extract.engines.network_cache import Network
from extract.machine import import_keras_quietly
from extract.pictures.decoding import resizer_of
from extract.settings import Decoding, Options
from extract.sources.unlabelled import unlabelled

if TYPE_CHECKING:
    import keras

SHARE = "share"  # in the facts of a model of two heads: the first one's part of the answer
BATCH = 32


class FittedRun:
    """A run of fit-head: the backbone as it was, and a head that Keras layers can express.

    Raises
    ------
    UserError
        When the head cannot be loaded or expressed.
    """

    def __init__(
        self, workspace: Workspace, run: Path, record: dict[str, Any], trust: bool, say: Say
    ) -> None:
        loaded = load_head(workspace, run, trust=trust, record=record)
        head = closed_form(loaded.head)
        if head is None:
            raise UserError(
                f"Expected a head that layers of a network can express, received {loaded.record['head']['name']} in "
                f"{run}. Those of logreg, ridge, lda, centroid, svm-linear, svm and mlp can be, behind the scalings "
                "of their searches: run `fit-head --model logreg`, or name another run with --run."
            )
        self._loaded, self._head = loaded, head
        self._rows = HeadRows(workspace, loaded, Options(), trust, say)
        self._say = say
        self.record = loaded.record
        spaces = [each.space for each in loaded.inputs]
        self.squares = list(dict.fromkeys(map(_square, spaces)))
        most = max(decoding_of(workspace, space).max_pixels for space in spaces)
        self.asked = [(each.size, Decoding(each.resize, most, each.resizer)) for each in self.squares]
        self.integer = any(space.precision.startswith("int8") for space in spaces)
        halves = {"float16"} & {each for space in spaces for each in (space.precision, space.dtype)}
        self.exact = not halves
        one = facts_of(loaded.inputs[0]) if len(spaces) == 1 else {}
        self.facts = one | {
            "classes": list(head.classes),
            "backbone": "+".join(space.backbone for space in spaces),
            "inputs": [facts_of(each) for each in loaded.inputs],
            "head": self.record["head"]["name"],
            "temperature": loaded.head.temperature,
            "run": run.name,
            "versions": versions("keras", "numpy"),
        }

    @cached_property
    def model(self) -> keras.Model:
        """As `join` makes it; UserError as for `branches_of`, and for a network that computes in 8-bit integers."""
        if self.integer:
            root = self.record.get("root") or "FOLDER/"
            floats = [replace(each.space, precision="float32") for each in self._loaded.inputs]
            commands = " and ".join(f"`{extract_command(each, root)} --precision float32`" for each in floats)
            raise UserError(
                "Expected --to tflite (or saved-head) for a head on a network of 8-bit integers: nothing but LiteRT "
                f"computes in them as its rows were computed. For another format run {commands} and `fit-head`, and "
                "export that run."
            )
        return join(branches_of(self._loaded, self._rows), self._head)

    def networks(self) -> list[tuple[Square, Network]]:
        """What each network takes, and the network as LiteRT runs it; UserError if LiteRT cannot."""
        pairs = zip(self._loaded.inputs, self._rows.extractors, strict=True)
        return [
            (_square(each.space), learn_network(extractor.backbone, "litert", self._say)[0])
            for each, extractor in pairs
        ]

    def rows_head(self, widths: Sequence[int]) -> keras.Model:
        """The head behind `networks`, whose rows have so many numbers: see `build_rows_head`."""
        return build_rows_head(widths, [_listed(each) for each in self._loaded.inputs], self._head)

    @property
    def head_model(self) -> keras.Model:
        """(B, D) embeddings to (B, C) probabilities."""
        return build_head(self._head, self._loaded.head.n_features_in_)

    def answers(self, pictures: Pictures, pixels: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (n, D), from the cache where they are there, and the head's probabilities (n, C)."""
        manifest = unlabelled(pictures.files)
        self._rows.embed(manifest, Progress(note=self._say))
        embedding = self._rows.gather(manifest.key)
        return embedding, self._loaded.head.predict_proba(embedding)


def branches_of(loaded: LoadedHead, rows: HeadRows) -> list[Branch]:
    """The networks of a head, built anew, and what it takes of each.

    Raises
    ------
    UserError
        If a backbone's weights are no longer those of the head.
    """
    from extract.backbones.network import build_backbone, hash_weights

    branches = []
    for each, extractor in zip(loaded.inputs, rows.extractors, strict=True):
        space, backbone = each.space, extractor.backbone
        network = build_backbone(backbone)
        if hash_weights(network) != space.weights:
            raise UserError(
                f"Expected weights {space.weights[:12]} of {backbone.name}, with which the head was "
                f"trained, received {hash_weights(network)[:12]}. Extract and fit again with the weights of today."
            )
        branches.append(Branch(backbone, extractor.decoding, _listed(each), network))
    return branches


def _square(space: Space) -> Square:
    return Square(space.input_size, space.resize, resizer_of(space.decoder))


def _listed(each: Input) -> list[int] | None:
    """The columns of an input; None for a whole row."""
    columns = each.columns
    return None if isinstance(columns, slice) else columns.tolist()


def facts_of(each: Input) -> dict[str, Any]:
    """What people want to know of one of a model's networks."""
    space = each.space
    facts = {
        "input_size": space.input_size,
        "resize": space.resize,
        "decoder": space.decoder,
        "backbone": space.backbone,
        "pooling": space.pooling,
        "precision": space.precision,
        "weights": space.weights,
        "space": space.id,
    }
    return facts | ({"parts": list(each.parts)} if each.parts else {})


class TunedRun:
    """A run of finetune or baseline: its model.keras.

    Raises
    ------
    UserError
        When the file is missing, damaged, not the one that run.json describes, or none that this user wrote or
        trusted and `trust` is False.
    """

    def __init__(self, workspace: Workspace, run: Path, record: dict[str, Any], trust: bool) -> None:
        import_keras_quietly()
        described = record.get("model")
        if not described:
            began = (record.get("start") or {}).get("run", "the run it began with")
            raise UserError(
                f"Expected a model in {run}, received a fine-tune that kept its head: export {began} instead."
            )
        self.file = run / described["file"]
        try:
            with open_regular(self.file) as file:
                digest = hashlib.sha256(file.read()).hexdigest()
        except OSError as error:
            raise UserError(
                f"Expected the model of {run} in {self.file}, but: {error}. Run `finetune` again."
            ) from error
        if digest != described["sha256"]:
            raise UserError(
                f"Expected the model that run.json describes ({described['sha256'][:12]}) in {self.file}, received "
                f"another file ({digest[:12]}). Run `finetune` again."
            )
        if not trusted.admitted(digest, trust):
            raise trusted.refusal("a model", self.file, digest, workspace.root)
        self.artefact = load_model(self.file)
        self.model: keras.Model = self.artefact.model
        self.record = record
        self.facts = self.artefact.facts | {"run": run.name}
        self.asked = self.artefact.asked
        self.squares = [Square(size, *decoding.rule) for size, decoding in self.asked]
        self.exact, self.integer = True, False

    @property
    def head_model(self) -> keras.Model:
        """(B, D) embeddings by the fine-tuned backbone, and by no other, to (B, C) probabilities.

        Raises
        ------
        UserError
            Where two heads answer together.
        """
        if SHARE in self.facts:
            raise UserError(
                f"Expected another format than saved-head for {self.facts['run']}, whose answer is the mean of two "
                "heads on networks of their own. Export it as keras, savedmodel, tflite or onnx."
            )
        return self.model.get_layer(CLASSIFIER).get_layer("head")

    def answers(self, pictures: Pictures, pixels: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (n, D), none where two heads answer together, and probabilities (n, C) of the model in Keras."""
        import keras

        classifier = self.model.get_layer(CLASSIFIER)
        if SHARE in self.facts:
            steps = range(0, len(pictures.files), BATCH)
            parts = [ask(classifier, [each[at : at + BATCH] for each in pixels]) for at in steps]
            return np.empty((len(pictures.files), 0)), np.concatenate(parts)
        before_head = classifier.operations[-2]  # not of `layers`: taking some columns is none
        embedder = keras.Model(classifier.input, before_head.output)
        (only,) = pixels
        return embedder.predict(only, batch_size=BATCH, verbose=0), self.artefact.probabilities(only)


def open_run(workspace: Workspace, run: Path, trust: bool, say: Say) -> FittedRun | TunedRun:
    """Load a run for export, whichever command made it."""
    record = read_record(run)
    import_keras_quietly()
    if record.get("command") in OWN_MODEL:
        return TunedRun(workspace, run, record, trust)
    return FittedRun(workspace, run, record, trust, say)
