"""`predict`: pictures to labels, with the best run and the very pipeline that its training pictures went through."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.storage.files import make_folder, write_file
from cache.storage.rejects import Reject
from cache.workspace import Workspace
from classify.commands.predict.limits import beside
from classify.commands.predict.options import NOTHING, Asked, PredictOptions
from classify.commands.predict.predictions import Predictions, rank
from classify.models.classifier import open_classifier
from classify.report.text import csv_bytes
from classify.runs.folder import write_json
from classify.runs.standing import answering
from extract.commands.extract import all_rejected
from extract.embedding.progress import Progress, bar
from extract.settings import Options
from extract.sources.unlabelled import list_pictures

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 10  # predictions on a terminal; all of them are in the file


@dataclass(frozen=True)
class Answers:
    """Predictions for the pictures that could be read, rejects for the others, and the CSV file of both."""

    predictions: Predictions
    rejects: list[Reject]
    file: Path | None  # None where there is no prediction
    run: Path  # that answered
    said: str = ""  # which run that is, and why
    shown: int | None = None  # rows that the text has; None: all
    notes: list[str] = field(default_factory=list)

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
        """What is said below the table: who answered, and where the table is."""
        count = len(self.predictions.paths)
        more = 0 if self.shown is None else count - self.shown
        lines = [f"... and {more:,} more"] if more > 0 else []
        lines += [self.said] if self.said else []
        if self.file:
            pictures = "1 picture" if count == 1 else f"{count:,} pictures"
            told = f"{pictures} classified by {self.run.name}, {len(self.rejects):,} rejected: {self.file}"
            lines.append(told)
        return lines

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
    asked: Asked = NOTHING,
    options: Options | None = None,
    trust: bool = False,
    out: Path | None = None,
    force: bool = False,
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
        Run folder, or a .keras file that coldframe wrote; default: the workspace's best.
    space : str, optional
        Start of a space's id, or of several with commas; a head of other spaces is refused.
    top : int
        Classes a picture.
    asked : Asked
        What to say beside the answers.
    options : Options, optional
        Engine, batch size and reading threads.
    trust : bool
        Load a head or model that this user did not make.
    out : Path, optional
        CSV file to write; default: predictions.csv in a run folder, which there is only if a picture was answered.
    force : bool
        Replace `out`.

    Raises
    ------
    UserError
        For what was asked and the run cannot tell, an `out` that is there or is no CSV file, a path that is not there,
        a head that cannot be trusted or is of another space, or a backbone whose weights are no longer those of the
        head.
    """
    if out is not None:
        _check_table(out, force)
    progress = progress or Progress()
    classifier = open_classifier(workspace, run, options=options, trust=trust, progress=progress)
    if space is not None:
        classifier.check([workspace.store_by_id(each.strip()).space for each in space.split(",")])
    manifest = list_pictures(paths)
    found = classifier.answer(manifest, progress)
    names = [manifest.paths[row] for row in np.flatnonzero(found.present).tolist()]
    more = beside(classifier, found, asked)
    predictions = replace(rank(found.probability, classifier.classes_, names, top), more=more.columns)
    said = answering(workspace, classifier.run, classifier.record, classifier.classes_.tolist(), bool(run))
    answers = Answers(predictions, found.rejects, None, classifier.run, said, notes=more.notes)
    return _kept(answers, workspace, paths, classifier.source, out) if names else answers


def _check_table(out: Path, force: bool) -> None:
    if out.suffix.lower() != ".csv":
        raise UserError(f"Expected --out to be a file that ends in .csv, received {out}. Name it so.")
    if out.exists() and not force:
        raise UserError(f"Expected a new file, received {out}, which exists. Pass --force to replace it.")


def _kept(
    answers: Answers, workspace: Workspace, paths: Sequence[Path], source: dict[str, Any], out: Path | None
) -> Answers:
    """Write the table and the run's record."""
    folder = workspace.new_run("predict")
    file = out or folder / "predictions.csv"
    make_folder(file.absolute().parent)
    write_file(file, csv_bytes(answers.csv()))
    record = {
        "command": "predict",
        **source,
        "paths": [str(path) for path in paths],
        "pictures": len(answers.predictions.paths),
        "file": str(file.absolute()),
        "rejects": [reject.to_json() for reject in answers.rejects],
    }
    write_json(folder / "run.json", record)
    return replace(answers, file=file)


def run(options: PredictOptions, say: Callable[[str], None]) -> Answers:
    """Answer the command line; a terminal is shown the first rows only."""
    answers = predict(
        Workspace.locate(options.workspace),
        [Path(path) for path in options.paths],
        run=options.run,
        space=options.space,
        top=options.top,
        asked=options.asked,
        options=Options(**asdict(options.engine)),
        trust=options.trust,
        out=Path(options.out) if options.out else None,
        force=options.force,
        progress=bar(say),
    )
    return replace(answers, shown=SHOWN) if sys.stdout.isatty() and not options.json else answers
