"""A run as something that can be exported: its model, its head alone, and the answers both must give."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.space import Space
from cache.storage import trusted
from cache.storage.files import open_regular
from cache.versions import versions
from cache.workspace import Workspace
from classify.models.layers import build_head, build_model, closed_form
from classify.runs.folder import OWN_MODEL
from classify.runs.head_file import check_space, load_head
from classify.runs.predictions import Pictures
from classify.runs.record import read_record
from extract.embedding.extractor import Extractor
from extract.embedding.progress import Progress, Say
from extract.embedding.runner import Outcome
from extract.embedding.spaces import backbone_of, decoding_of
from extract.machine import import_keras_quietly
from extract.settings import Decoding, Options
from extract.sources.unlabelled import list_pictures

if TYPE_CHECKING:
    import keras


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
        self._workspace, self._loaded, self._head, self._say = workspace, loaded, head, say
        self._space = Space.from_json(loaded.record["space"]["json"])
        self._backbone = backbone_of(workspace.store(self._space), trust=trust)
        self.record = loaded.record
        self.decoding: Decoding = decoding_of(workspace, self._space)
        self.size = self._space.input_size
        self.exact = (self._space.precision, self._space.dtype) == ("float32", "float32")
        self.facts = {
            "classes": list(head.classes),
            "input_size": self.size,
            "resize": self._space.resize,
            "backbone": self._space.backbone,
            "pooling": self._space.pooling,
            "weights": self._space.weights,
            "space": self._space.id,
            "head": self.record["head"]["name"],
            "temperature": loaded.head.temperature,
            "run": run.name,
            "versions": versions("keras", "numpy"),
        }

    @cached_property
    def model(self) -> keras.Model:
        """As `build_model` makes it; UserError if the backbone's weights are no longer those of the head."""
        from extract.backbones.network import build_backbone, hash_weights

        network = build_backbone(self._backbone)
        if hash_weights(network) != self._space.weights:
            raise UserError(
                f"Expected weights {self._space.weights[:12]} of {self._backbone.name}, with which the head was "
                f"trained, received {hash_weights(network)[:12]}. Extract and fit again with the weights of today."
            )
        return build_model(self._backbone, self._space.resize, self._head, network)

    @property
    def head_model(self) -> keras.Model:
        """(B, D) embeddings to (B, C) probabilities."""
        return build_head(self._head, self._loaded.head.n_features_in_)

    @cached_property
    def _extractor(self) -> Extractor:
        options = Options(dtype=self._space.dtype)
        extractor = Extractor(self._workspace, self._backbone, self.decoding, options, self._say)
        check_space(self._loaded, extractor.space, self._loaded.head.n_features_in_)
        return extractor

    def answers(self, pictures: Pictures, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (n, D), from the cache where they are there, and the head's probabilities (n, C)."""
        manifest, extractor = list_pictures(pictures.files), self._extractor
        extractor.embed(manifest, np.arange(len(manifest)), Progress(note=self._say), Outcome())
        embedding = extractor.store.gather(manifest.key)
        return embedding, self._loaded.head.predict_proba(embedding)


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
        from classify.models.model_file import load_model

        described = record.get("model")
        if not described:
            began = (record.get("start") or {}).get("run", "the run it began with")
            raise UserError(
                f"Expected a model in {run}, received a fine-tune that kept its head: export {began} instead."
            )
        self.file = run / described["file"]
        try:
            with open_regular(self.file) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
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
        self.decoding = Decoding(self.facts["resize"])
        self.size = int(self.facts["input_size"])
        self.exact = True

    @property
    def head_model(self) -> keras.Model:
        """(B, D) embeddings by the fine-tuned backbone, and by no other, to (B, C) probabilities."""
        return self.model.get_layer("classifier").get_layer("head")

    def answers(self, pictures: Pictures, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (n, D) and probabilities (n, C) of the model in Keras."""
        import keras

        classifier = self.model.get_layer("classifier")
        embedder = keras.Model(classifier.input, classifier.layers[-2].output)
        return embedder.predict(pixels, batch_size=32, verbose=0), self.artefact.probabilities(pixels)


def open_run(workspace: Workspace, run: Path, trust: bool, say: Say) -> FittedRun | TunedRun:
    """Load a run for export, whichever command made it."""
    record = read_record(run)
    import_keras_quietly()
    if record.get("command") in OWN_MODEL:
        return TunedRun(workspace, run, record, trust)
    return FittedRun(workspace, run, record, trust, say)
