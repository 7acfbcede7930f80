"""`predict`: pictures to labels, with the best run and the very pipeline that its training pictures went through."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.space import Space
from cache.storage.files import write_file
from cache.storage.rejects import Reject
from cache.workspace import Workspace
from classify.commands.options import PredictOptions
from classify.models.run_model import TunedRun
from classify.report.text import csv_bytes, csv_text
from classify.runs.folder import OWN_MODEL, find_run, record_of, write_json
from classify.runs.head_file import check_space, load_head
from extract.commands.extract import all_rejected
from extract.embedding.extractor import Extractor
from extract.embedding.file_reader import FileReader
from extract.embedding.progress import Progress, bar
from extract.embedding.runner import Claims, Outcome
from extract.embedding.runner import run as run_pipeline
from extract.embedding.spaces import backbone_of, decoding_of
from extract.machine import usable_cores
from extract.settings import Options
from extract.sources.unlabelled import list_pictures

if TYPE_CHECKING:
    from classify.heads.calibration import CalibratedHead

SHOWN = 10  # predictions on a terminal; all of them are in the file


@dataclass(frozen=True)
class Predictions:
    """The k most probable classes of n pictures: `label` and `probability`, both (n, k), falling."""

    paths: Sequence[str]
    label: np.ndarray
    probability: np.ndarray

    @property
    def columns(self) -> list[str]:
        """path, label, probability, label_2, probability_2, ..."""
        ranks = ["", *(f"_{rank}" for rank in range(2, self.label.shape[1] + 1))]
        return ["path", *(f"{name}{rank}" for rank in ranks for name in ("label", "probability"))]

    def rows(self) -> Iterator[list[Any]]:
        """Yield one list a picture, in the order of `columns`."""
        for path, labels, values in zip(
            self.paths, self.label.tolist(), self.probability.astype(float).round(6).tolist(), strict=True
        ):
            yield [path, *(cell for pair in zip(labels, values, strict=True) for cell in pair)]

    def records(self) -> list[dict[str, Any]]:
        """Return one dictionary a picture."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows()]

    def csv(self) -> str:
        """Return a CSV file's text; `csv_bytes` encodes it."""
        return csv_text(self.columns, self.rows())


def classify_rows(head: CalibratedHead, X: np.ndarray, paths: Sequence[str], top: int = 1) -> Predictions:
    """Find the most probable classes of each picture.

    Parameters
    ----------
    head : CalibratedHead
    X : (n, D) float array
        Embeddings of the head's space.
    paths : sequence of n str
    top : int
        Classes a picture, k; at most the head's number of classes.

    Raises
    ------
    UserError
        When X has another width than the head, or top is below 1.
    """
    if top < 1:
        raise UserError(f"Expected --top of at least 1, received {top}.")
    if X.shape[1] != head.n_features_in_:
        raise UserError(
            f"Expected embeddings of width {head.n_features_in_}, received {X.shape[1]}: this head was "
            "trained in another space. Run `extract` with the backbone of the head, or pass --space."
        )
    return rank(head.predict_proba(X), head.classes_, paths, top)


def rank(probability: np.ndarray, classes: np.ndarray, paths: Sequence[str], top: int) -> Predictions:
    """Take the k most probable of C classes for each picture; probability (n, C), classes (C,) names."""
    # Stable on the negated values: of equal probabilities the first column leads, as in argmax.
    order = np.argsort(-probability, axis=1, kind="stable")[:, :top]
    return Predictions(paths, classes[order], np.take_along_axis(probability, order, axis=1))


Found = tuple[Predictions, list[Reject], dict[str, Any]]  # the last: what answered, for run.json


@dataclass(frozen=True)
class Answers:
    """Predictions for the pictures that could be read, rejects for the others, and the CSV file of both."""

    predictions: Predictions
    rejects: list[Reject]
    file: Path
    run: Path  # that answered
    shown: int | None = None  # rows that the text has; None: all

    def records(self) -> list[dict[str, Any]]:
        """One dictionary a picture, as `--json` prints them."""
        return self.predictions.records()

    def csv(self) -> str:
        """The table with path, label, probability and the next best."""
        return self.predictions.csv()

    def to_json(self) -> list[dict[str, Any]]:
        """As `records`."""
        return self.records()

    def to_text(self) -> str:
        """The first rows of the table."""
        lines = self.csv().splitlines()
        return "\n".join(lines if self.shown is None else lines[: self.shown + 1])

    @property
    def closing(self) -> list[str]:
        """What is said below the table."""
        count = len(self.predictions.paths)
        more = 0 if self.shown is None else count - self.shown
        told = (
            f"{count:,} pictures classified by {self.run.name}, {len(self.rejects):,} rejected: {self.file}"
        )
        return [f"... and {more:,} more", told] if more > 0 else [told]

    @property
    def failure(self) -> str | None:
        """Why there is no prediction at all."""
        nothing = self.rejects and not self.predictions.paths
        return all_rejected("", len(self.rejects)) if nothing else None


def predict(
    workspace: Workspace,
    paths: Sequence[Path],
    *,
    run: str | None = None,
    space: str | None = None,
    top: int = 3,
    options: Options | None = None,
    trust: bool = False,
    progress: Progress | None = None,
) -> Answers:
    """Classify pictures and folders of pictures.

    With a head, what is embedded for it is kept in the cache, as by `extract`: a picture costs one pass, whoever
    asks. A run of finetune or baseline answers with its model.keras.

    Parameters
    ----------
    workspace : Workspace
    paths : sequence of Path
        Pictures, or folders that are searched for them at any depth.
    run : str, optional
        Run folder; default: the workspace's best.
    space : str, optional
        Start of a space's id; a head of another space is refused.
    top : int
        Classes a picture.
    options : Options, optional
        Engine, batch size and reading threads.
    trust : bool
        Load a head that this workspace did not write.

    Raises
    ------
    UserError
        For a path that is not there, a head that cannot be trusted or is of another space, or a backbone
        whose weights are no longer those of the head.
    """
    progress, options = progress or Progress(), options or Options()
    asked = find_run(workspace, run)
    record = record_of(asked)
    if record.get("command") in OWN_MODEL:
        predictions, rejects, source = _by_model(
            workspace, asked, record, paths, space, top, options, progress
        )
    else:
        predictions, rejects, source = _by_head(workspace, asked, paths, space, top, options, trust, progress)

    folder = workspace.new_run("predict")
    file = folder / "predictions.csv"
    write_file(file, csv_bytes(predictions.csv()))
    record = {
        "command": "predict",
        **source,
        "paths": [str(path) for path in paths],
        "pictures": len(predictions.paths),
        "rejects": [{"path": reject.path, "reason": reject.reason} for reject in rejects],
    }
    write_json(folder / "run.json", record)
    return Answers(predictions, rejects, file, asked)


def _by_head(
    workspace: Workspace,
    run: Path,
    paths: Sequence[Path],
    space: str | None,
    top: int,
    options: Options,
    trust: bool,
    progress: Progress,
) -> Found:
    """Embed what has no embedding yet, and ask the head of a fit-head run."""
    loaded = load_head(workspace, run, trust=trust)
    trained = Space.from_json(loaded.record["space"]["json"])
    width = loaded.head.n_features_in_
    if space is not None:
        check_space(loaded, workspace.store_by_id(space).space, width)
    backbone = backbone_of(workspace.store(trained))
    options = replace(options, dtype=trained.dtype)
    extractor = Extractor(workspace, backbone, decoding_of(workspace, trained), options, progress.note)
    check_space(loaded, extractor.space, width)

    manifest, outcome = list_pictures(paths), Outcome()
    extractor.embed(manifest, np.arange(len(manifest)), progress, outcome)
    present = manifest.hashed & extractor.store.contains(manifest.key)
    rejects = extractor.rejects(manifest, present, outcome)
    found = manifest.select(present)
    embedding = extractor.store.gather(found.key) if len(found) else np.empty((0, width), np.float32)
    source = {
        "head": str(loaded.folder),
        "head_sha256": loaded.record["head"]["sha256"],
        "space": trained.id,
    }
    return classify_rows(loaded.head, embedding, found.paths, top), rejects, source


def _by_model(
    workspace: Workspace,
    run: Path,
    made: dict[str, Any],
    paths: Sequence[Path],
    space: str | None,
    top: int,
    options: Options,
    progress: Progress,
) -> Found:
    """Ask the model of a run of finetune or baseline; its answers are not kept in the cache."""
    if options.engine == "litert":
        raise UserError(
            f"Expected --engine auto or keras for {run}: such a run answers with its model.keras. "
            "`export --to tflite` makes a LiteRT file of it."
        )
    tuned = TunedRun(run, made)
    trained, classes = Space.from_json(tuned.record["space"]["json"]), np.array(tuned.artefact.classes)
    if space is not None and workspace.store_by_id(space).space.id != trained.id:
        raise UserError(
            f"Expected space {trained.id[:12]}, in which {run} was trained, received {space}. Leave --space out."
        )
    answers: dict[bytes, np.ndarray] = {}

    def keep(keys: np.ndarray, rows: np.ndarray, rejects: list[Reject]) -> None:
        answers.update(zip((key.tobytes() for key in keys), rows, strict=True))

    manifest, outcome = list_pictures(paths), Outcome()
    claims = Claims(lambda keys: np.array([key.tobytes() in answers for key in keys], bool))
    progress.start(len(manifest))
    run_pipeline(
        range(len(manifest)),
        FileReader(manifest, trained.input_size, decoding_of(workspace, trained), claims, {}),
        lambda: tuned.artefact,
        keep,
        outcome,
        workers=options.workers or usable_cores(),
        on_progress=progress.advance,
    )
    present = np.array([manifest.key[i].tobytes() in answers for i in range(len(manifest))], bool)
    found = manifest.select(present)
    rows = np.array([answers[key.tobytes()] for key in found.key]).reshape(len(found), len(classes))
    source = {"model": str(tuned.file), "model_sha256": tuned.record["model"]["sha256"]}
    return rank(rows, classes, found.paths, top), outcome.rejects, source


def run(options: PredictOptions, say: Callable[[str], None]) -> Answers:
    """Answer the command line; a terminal is shown the first rows only."""
    answers = predict(
        Workspace.locate(options.workspace),
        [Path(path) for path in options.paths],
        run=options.run,
        space=options.space,
        top=options.top,
        options=Options(**asdict(options.engine)),
        trust=options.trust,
        progress=bar(say),
    )
    return replace(answers, shown=SHOWN) if sys.stdout.isatty() and not options.json else answers
