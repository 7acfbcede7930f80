"""`predict`: pictures to labels, with the best run and the very pipeline that its training pictures went through."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.space import Space
from cache.storage.files import write_file
from cache.storage.rejects import Reject
from cache.workspace import Workspace
from classify.commands.predict.options import PredictOptions
from classify.commands.predict.predictions import Predictions, classify_rows, rank
from classify.models.run_model import TunedRun
from classify.report.text import csv_bytes
from classify.runs.folder import OWN_MODEL, find_run, write_json
from classify.runs.head_file import check_space, load_head
from classify.runs.record import record_of
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
    import pandas as pd

SHOWN = 10  # predictions on a terminal; all of them are in the file
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

    def to_frame(self) -> pd.DataFrame:
        """Return the predictions as a DataFrame; see `Predictions.to_frame`."""
        return self.predictions.to_frame()

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
        Load a head or model that this user did not make.

    Raises
    ------
    UserError
        For a path that is not there, a head that cannot be trusted or is of another space, or a backbone
        whose weights are no longer those of the head.
    """
    folder = find_run(workspace, run)
    asked = _Asked(
        workspace, folder, record_of(folder), paths, space, top, options or Options(), progress or Progress()
    )
    if asked.record.get("command") in OWN_MODEL:
        predictions, rejects, source = _by_model(asked, trust)
    else:
        predictions, rejects, source = _by_head(asked, trust)

    folder = workspace.new_run("predict")
    file = folder / "predictions.csv"
    write_file(file, csv_bytes(predictions.csv()))
    record = {
        "command": "predict",
        **source,
        "paths": [str(path) for path in paths],
        "pictures": len(predictions.paths),
        "rejects": [reject.to_json() for reject in rejects],
    }
    write_json(folder / "run.json", record)
    return Answers(predictions, rejects, file, asked.run)


@dataclass(frozen=True)
class _Asked:
    """What is asked, and the run that is to answer."""

    workspace: Workspace
    run: Path
    record: dict[str, Any]  # what its run.json says
    paths: Sequence[Path]
    space: str | None
    top: int
    options: Options
    progress: Progress


def _by_head(asked: _Asked, trust: bool) -> Found:
    """Embed what has no embedding yet, and ask the head of a fit-head run."""
    workspace, progress = asked.workspace, asked.progress
    loaded = load_head(workspace, asked.run, trust=trust, record=asked.record)
    trained = Space.from_json(loaded.record["space"]["json"])
    width = loaded.head.n_features_in_
    if asked.space is not None:
        check_space(loaded, workspace.store_by_id(asked.space).space, width)
    backbone = backbone_of(workspace.store(trained), trust=trust)
    options = replace(asked.options, dtype=trained.dtype)
    extractor = Extractor(workspace, backbone, decoding_of(workspace, trained), options, progress.note)
    check_space(loaded, extractor.space, width)

    manifest, outcome = list_pictures(asked.paths), Outcome()
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
    return classify_rows(loaded.head, embedding, found.paths, asked.top), rejects, source


def _by_model(asked: _Asked, trust: bool) -> Found:
    """Ask the model of a run of finetune or baseline; its answers are not kept in the cache."""
    workspace, progress = asked.workspace, asked.progress
    if asked.options.engine == "litert":
        raise UserError(
            f"Expected --engine auto or keras for {asked.run}: such a run answers with its model.keras. "
            "`export --to tflite` makes a LiteRT file of it."
        )
    tuned = TunedRun(workspace, asked.run, asked.record, trust)
    trained, classes = Space.from_json(tuned.record["space"]["json"]), np.array(tuned.artefact.classes)
    if asked.space is not None and workspace.store_by_id(asked.space).space.id != trained.id:
        raise UserError(
            f"Expected space {trained.id[:12]}, in which {asked.run} was trained, received {asked.space}. Leave "
            "--space out."
        )
    answers: dict[bytes, np.ndarray] = {}

    def keep(keys: np.ndarray, rows: np.ndarray, rejects: list[Reject]) -> None:
        answers.update(zip((key.tobytes() for key in keys), rows, strict=True))

    manifest, outcome = list_pictures(asked.paths), Outcome()
    claims = Claims(lambda keys: np.array([key.tobytes() in answers for key in keys], bool))
    progress.start(len(manifest))
    run_pipeline(
        range(len(manifest)),
        FileReader(manifest, trained.input_size, decoding_of(workspace, trained), claims, {}),
        lambda: tuned.artefact,
        keep,
        outcome,
        workers=asked.options.workers or usable_cores(),
        on_progress=progress.advance,
    )
    present = np.array([manifest.key[i].tobytes() in answers for i in range(len(manifest))], bool)
    found = manifest.select(present)
    rows = np.array([answers[key.tobytes()] for key in found.key]).reshape(len(found), len(classes))
    source = {"model": str(tuned.file), "model_sha256": tuned.record["model"]["sha256"]}
    return rank(rows, classes, found.paths, asked.top), outcome.rejects, source


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
