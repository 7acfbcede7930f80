"""`ImageEmbedder`: extraction as a scikit-learn transformer. The one file here that knows scikit-learn."""

import os
import warnings
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.files import locked, make_folder
from cache.storage.rejects import Reject
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.embedding.agreement import settled
from extract.embedding.extractor import Extractor
from extract.embedding.picture_reader import Picture
from extract.embedding.progress import Progress, bar
from extract.embedding.runner import Outcome
from extract.engines import network_cache
from extract.notebook.inputs import listed, name
from extract.notebook.known_files import KnownFiles
from extract.settings import Decoding, Options
from extract.sources.unlabelled import unlabelled

ERRORS = ("raise", "nan")
_SHOWN = 3  # unreadable pictures that a message names
_FILES = KnownFiles()  # of this process: clones in a grid search share it


class ImageEmbedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Embed pictures with a frozen pretrained network, each once.

    A scikit-learn transformer. Embeddings are kept in a workspace, in the same space as the command `extract`
    uses for the same settings; what either has embedded, the other finds. Nothing is learnt from the pictures: `fit`
    checks the settings and names the space; `transform` works without it.

    Parameters
    ----------
    backbone : str, default="efficientnet_lite0"
        See `python cli.py backbones`.
    weights : str, default="pretrained"
        "pretrained", "none" (random) or the path of a file.
    input_size : int, default=None
        Pixels a side; None: the backbone's own.
    pooling : {"avg", "max", "flatten", "stages"}, default=None
        How feature maps become rows; "stages": the averages of every stage side by side, those of "avg" last. None: the
        backbone's own, as for `extract`.
    resize : {"crop", "squash", "pad"}, default="crop"
        How pictures become square.
    resizer : {"fast", "pillow"}, default="fast" where it is installed
        Who resizes them; an embedder that was pickled before there was a choice goes on with Pillow.
    max_pixels : int, default=64_000_000
        Larger pictures count as unreadable.
    precision : {"float32", "float16", "int8"}, default="float32"
        Of the computation; int8 as `extract` calibrated it in this workspace, else by the ranges that ship.
    dtype : {"float32", "float16"}, default="float32"
        Of the rows as stored.
    engine : {"auto", "litert", "keras"}, default="auto"
        What computes; "auto" takes Keras where a GPU is seen.
    batch_size, workers : int, default=None
        Pictures a step and threads; None: the engine's own, and one a core.
    workspace : str or path, default=None
        Folder of the cache; None: COLDFRAME_WORKSPACE, else `.coldframe` in the current folder.
    errors : {"raise", "nan"}, default="raise"
        What becomes of pictures that cannot be read: an error that names the first, or rows of NaN and a warning.
    verbose : bool, default=False
        Show a bar where embedding takes more than two seconds.

    Attributes
    ----------
    space_ : str
        Id of the space, 64 hex digits.
    n_features_out_ : int
        D, the width of an embedding.

    Examples
    --------
    >>> from extract import ImageEmbedder
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> model = make_pipeline(ImageEmbedder(), LogisticRegression(max_iter=1000))
    >>> model.fit(["a.jpg", "b.jpg"], ["rose", "tulip"])  # doctest: +SKIP
    """

    __module__ = "extract"  # what pickles name: the door, not this room

    def __init__(
        self,
        *,
        backbone: str = "efficientnet_lite0",
        weights: str = "pretrained",
        input_size: int | None = None,
        pooling: str | None = None,
        resize: str = "crop",
        resizer: str = Decoding.resizer,
        max_pixels: int = 64_000_000,
        precision: str = "float32",
        dtype: str = "float32",
        engine: str = "auto",
        batch_size: int | None = None,
        workers: int | None = None,
        workspace: str | os.PathLike[str] | None = None,
        errors: str = "raise",
        verbose: bool = False,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.input_size = input_size
        self.pooling = pooling
        self.resize = resize
        self.resizer = resizer
        self.max_pixels = max_pixels
        self.precision = precision
        self.dtype = dtype
        self.engine = engine
        self.batch_size = batch_size
        self.workers = workers
        self.workspace = workspace
        self.errors = errors
        self.verbose = verbose

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"resizer": "pillow"} | state)

    def fit(self, X: Iterable[Any], y: Any = None) -> "ImageEmbedder":
        """Check the settings and the kinds of the pictures; no picture is read.

        Parameters
        ----------
        X : see `transform`
        y : ignored

        Raises
        ------
        UserError
            For a setting there is not, weights that cannot be had, or an `X` that holds no pictures.
        """
        listed(X)
        extractor = _checked(self)
        self.space_ = extractor.space.id
        self.n_features_out_ = extractor.dim
        return self

    def transform(self, X: Iterable[Any]) -> np.ndarray:
        """Return the embeddings of pictures; what the workspace lacks is embedded first, and kept.

        Parameters
        ----------
        X : list, array or Series of n pictures
            Each a path (str or Path), a Pillow image, or a uint8 array of shape (h, w), (h, w, 3) or (h, w, 4). Or
            one uint8 array of shape (n, h, w), (n, h, w, 3) or (n, h, w, 4). 0..255, RGB.

        Returns
        -------
        ndarray of shape (n, D), dtype float32
            In the order of `X`; as `set_output` says, a DataFrame.

        Raises
        ------
        UserError
            If a picture cannot be read and `errors` is "raise", or the weights are no longer those of `fit`.
        """
        pictures, extractor = listed(X), _checked(self)
        if getattr(self, "space_", extractor.space.id) != extractor.space.id:
            raise UserError(
                f"Expected space {self.space_[:12]}, in which this embedder was fitted, received "
                f"{extractor.space.id[:12]}: parameters, weights or this version's decoding are others. Fit it "
                "again."
            )
        names = (p if isinstance(p, str) else name(row) for row, p in enumerate(pictures))
        manifest, outcome = unlabelled(list(names)), Outcome()
        present = self._embed(extractor, manifest, pictures, outcome)
        if not present.all():
            self._tell(extractor.rejects(manifest, present, outcome), len(pictures))
        rows = np.full((len(pictures), extractor.dim), np.nan, np.float32)
        if present.any():
            rows[present] = extractor.store.gather(manifest.key[present])
        return rows

    def _embed(
        self, extractor: Extractor, manifest: Manifest, pictures: list[str | Picture], outcome: Outcome
    ) -> np.ndarray:
        """Embed what has no row, complete the manifest's keys, and tell which rows of it have an embedding."""
        store = extractor.store.create()  # somebody may have tidied up since
        held = {row: picture for row, picture in enumerate(pictures) if not isinstance(picture, str)}
        files = [row for row, picture in enumerate(pictures) if isinstance(picture, str)]
        _FILES.fill(manifest, files)
        missing = ~(manifest.hashed & store.contains(manifest.key))
        if not missing.any():
            return ~missing
        # Workers of a grid search begin with nearly the same pictures: each waits for what another embeds.
        with locked(store.folder):
            progress = bar() if self.verbose else Progress()
            extractor.embed(manifest, np.flatnonzero(missing), progress, outcome, held)
        _FILES.learn(manifest, files)
        return manifest.hashed & store.contains(manifest.key)

    def _tell(self, rejects: list[Reject], count: int) -> None:
        first = "; ".join(f"{reject.path}: {reject.reason}" for reject in rejects[:_SHOWN])
        more = f"; and {len(rejects) - _SHOWN:,} more" if len(rejects) > _SHOWN else ""
        if self.errors == "nan":
            warnings.warn(
                f"{len(rejects):,} of {count:,} pictures are rows of NaN: {first}{more}", stacklevel=3
            )
            return
        raise UserError(
            f"Expected {count:,} readable pictures, received {len(rejects):,} that are not: {first}{more}. Leave "
            "them out, or pass errors='nan' to have rows of NaN for them. The others are embedded and kept."
        )

    @property
    def _n_features_out(self) -> int:  # what scikit-learn names the columns by
        return self.n_features_out_ if hasattr(self, "space_") else _checked(self).dim

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = tags.input_tags.three_d_array = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = []  # float32, whatever comes in
        return tags


def _checked(embedder: ImageEmbedder) -> Extractor:
    if embedder.errors not in ERRORS:
        raise UserError(f"Expected errors to be one of {', '.join(ERRORS)}; received {embedder.errors!r}.")
    workspace, backbone, decoding, options = settings(embedder)
    backbone = settled(workspace, backbone, decoding, options, print)
    file = backbone.weights_file
    status = file.stat() if file else None
    written = (status.st_size, status.st_mtime_ns) if status else None
    return _shared(workspace.root, backbone, decoding, options, embedder.verbose, written)


# Clones with the same parameters share one, so that a grid search starts an engine once and not once a fold; and
# an embedder itself holds nothing that cannot be pickled.
@lru_cache(maxsize=4)
def _shared(
    root: Path, backbone: Backbone, decoding: Decoding, options: Options, verbose: bool, written: Any
) -> Extractor:
    make_folder(network_cache.folder())
    with locked(network_cache.folder()):  # of several workers one converts the network for all
        return Extractor(
            Workspace(root), backbone, decoding, options, print if verbose else lambda text: None
        )


def settings(embedder: ImageEmbedder) -> tuple[Workspace, Backbone, Decoding, Options]:
    """Say in the words of `extract` what an embedder's parameters mean.

    Raises
    ------
    UserError
        For a parameter that means nothing.
    """
    for field in (
        "backbone",
        "weights",
        "pooling",
        "resize",
        "resizer",
        "precision",
        "dtype",
        "engine",
        "workspace",
    ):
        text = getattr(embedder, field)
        path = field in ("weights", "workspace") and isinstance(text, os.PathLike)
        if not (isinstance(text, str) or path or (field in ("workspace", "pooling") and text is None)):
            raise UserError(f"Expected {field} to be text, received {text!r}.")
    input_size, batch_size, workers = (
        None if getattr(embedder, field) is None else _integer(embedder, field)
        for field in ("input_size", "batch_size", "workers")
    )
    backbone = Backbone.of(
        embedder.backbone, os.fspath(embedder.weights), input_size, embedder.pooling, embedder.precision
    )
    if backbone.layer is not None:
        raise UserError(f"Expected pooling avg, max, flatten or stages, received {embedder.pooling!r}.")
    place = None if embedder.workspace is None else os.path.expanduser(embedder.workspace)
    options = Options(engine=embedder.engine, batch_size=batch_size, workers=workers, dtype=embedder.dtype)
    decoding = Decoding(embedder.resize, _integer(embedder, "max_pixels"), embedder.resizer)
    return Workspace.locate(place), backbone, decoding, options


def _integer(embedder: ImageEmbedder, field: str) -> int:
    number = getattr(embedder, field)
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
        raise UserError(f"Expected {field} to be an integer above 0, received {number!r}.")
    return int(number)
