"""predictions.csv and validation.csv of a run: written, and the pictures that they list or leave out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from cache.errors import UserError
from cache.frame import NUMBER, TEXT, change_texts, frame
from cache.storage.files import open_regular, write_file
from cache.text import restored
from cache.workspace import Workspace
from classify.metrics.evaluation import Evaluation
from classify.report.confusion import confusion_png, confusion_text
from classify.report.text import csv_bytes, csv_text
from extract.pictures.decoding import RejectedImage, decode
from extract.pictures.files import opened
from extract.settings import Decoding
from extract.sources.places.place import join, stat_at

if TYPE_CHECKING:
    import pandas as pd

# Tables of a run that list pictures with their labels; the first that is there is taken.
HELD_OUT = {"validation.csv": "validation", "predictions.csv": "test"}


def save_evaluation(
    folder: Path,
    evaluation: Evaluation,
    paths: Sequence[str],
    truth: np.ndarray,
    predicted: np.ndarray,
    probability: np.ndarray,
    title: str = "",
) -> None:
    """Write predictions.csv (n rows; `probability` (n,) of the predicted class) and the confusion matrix.

    `title` says whose answers these are, to what.
    """
    rows = zip(paths, truth.tolist(), predicted.tolist(), probability.tolist(), strict=True)
    columns = {"path": TEXT, "label": TEXT, "predicted": TEXT, "probability": NUMBER}
    answers = frame(columns, [dict(zip(columns, row, strict=True)) for row in rows])
    write_file(folder / "predictions.csv", csv_bytes(csv_text(answers)))
    write_file(folder / "confusion.txt", (confusion_text(evaluation) + "\n").encode())
    write_file(folder / "confusion.png", confusion_png(evaluation, title))


def save_validation(folder: Path, paths: Iterable[str], labels: Iterable[str]) -> None:
    """Write validation.csv: the pictures that chose among the weights, with their class names."""
    records = [{"path": path, "label": label} for path, label in zip(paths, labels, strict=True)]
    write_file(folder / "validation.csv", csv_bytes(csv_text(frame({"path": TEXT, "label": TEXT}, records))))


def of_tables(run: Path) -> dict[str, Any]:
    """What run.json says of the tables in its folder: their SHA-256, so that another content is noticed."""
    there = [name for name in HELD_OUT if (run / name).exists()]
    return {"tables": {name: sha256((run / name).read_bytes()).hexdigest() for name in there}}


def table_of(run: Path, record: dict[str, Any], name: str) -> pd.DataFrame | None:
    """Read predictions.csv or validation.csv of a run as `read_pictures` does; None where the run wrote none.

    Raises
    ------
    UserError
        When it is not the one that `record`, its run.json, tells of; runs of older versions do not tell.
    """
    expected = (record.get("tables") or {}).get(name)
    try:
        with open_regular(run / name) as file:
            data = file.read()
    except FileNotFoundError:
        if expected is None:
            return None
        received = "it is gone"
    except OSError as error:
        received = f"{error.strerror}"
    else:
        if expected in (None, sha256(data).hexdigest()):
            return read_pictures(BytesIO(data))
        received = "it has another content (SHA-256)"
    raise UserError(
        f"Expected {name} as the run wrote it in {run}, but {received}: a figure made with it would be of other "
        "pictures or answers. Restore it, or train anew."
    )


def read_pictures(table: Path | BinaryIO) -> pd.DataFrame:
    """Read a run's predictions.csv or validation.csv, also that of `predict`.

    Returns
    -------
    pictures : DataFrame
        The columns of the file, one picture a row: `probability`, `probability_2` and so on float64, the others object
        (texts, empty for none). File names are as in the manifest.

    Raises
    ------
    OSError
        When it is not there.
    """
    import pandas as pd

    # A name may hold any letter but those that end a field: our lines end with a line feed alone.
    pictures = pd.read_csv(
        table,
        dtype=TEXT,
        keep_default_na=False,
        encoding="utf-8",
        encoding_errors="surrogateescape",
        lineterminator="\n",
    )
    numbers = [name for name in pictures if name.startswith("probability")]
    return change_texts(pictures.astype(dict.fromkeys(numbers, NUMBER)), restored)


@dataclass(frozen=True)
class Pictures:
    """n files that are there, with their class names; `part` says what they are to the run."""

    files: list[str]  # where they lie
    labels: list[str]
    part: str

    def sample(self, most: int, seed: int = 0) -> Pictures:
        """Draw at most so many, always the same ones."""
        if len(self.files) <= most:
            return self
        rows = np.sort(np.random.default_rng(seed).choice(len(self.files), most, replace=False))
        return Pictures([self.files[row] for row in rows], [self.labels[row] for row in rows], self.part)

    def decode(self, asked: Sequence[tuple[int, Decoding]]) -> tuple[Pictures, list[np.ndarray]]:
        """Read the pictures as squares of so many pixels a side.

        Returns
        -------
        read : Pictures
            Those n that can be read.
        pixels : list of (n, s, s, 3) uint8
            One array for each `asked`.

        Raises
        ------
        UserError
            When none can.
        """
        pixels: list[list[np.ndarray]] = []
        kept: list[int] = []
        for row, file in enumerate(self.files):
            try:
                with opened(file) as contents:
                    pixels.append([decode(contents.data, size, how) for size, how in asked])
                kept.append(row)
            except RejectedImage:
                continue
        if not kept:
            raise _none_left(os.path.dirname(self.files[0]) if self.files else "")
        found = Pictures([self.files[row] for row in kept], [self.labels[row] for row in kept], self.part)
        return found, [np.stack(each) for each in zip(*pixels, strict=True)]


def held_out(workspace: Workspace, run: Path, record: dict[str, Any]) -> Pictures:
    """List pictures that the run was not trained on; if it left no list of them, those of its whole data set.

    Raises
    ------
    UserError
        When no picture of it is there, or a list is not the one that the run wrote.
    """
    root = str(record.get("root") or "")
    for name, part in HELD_OUT.items():
        found = _there(root, _rows(run, record, name), part)
        if found.files:
            return found
    known = _data_set(workspace, record) if record.get("dataset") in workspace.datasets() else []
    found = _there(root, known, "data set")
    if not found.files:
        raise _none_left(root)
    return found


def trained_on(workspace: Workspace, run: Path, record: dict[str, Any]) -> Pictures:
    """List pictures that the run was trained on.

    Raises
    ------
    UserError
        When the workspace does not know the data set, no picture of it is there, or a list is not the one that the
        run wrote.
    """
    other = {path for name in HELD_OUT for path, _ in _rows(run, record, name)}
    root = str(record.get("root") or "")
    rows = [(path, label) for path, label in _data_set(workspace, record) if path not in other]
    found = _there(root, rows, "training")
    if not found.files:
        raise _none_left(root)
    return found


def _data_set(workspace: Workspace, record: dict[str, Any]) -> list[tuple[str, str]]:
    manifest = workspace.manifest(record["dataset"])
    names = [*manifest.classes, ""]  # label -1 is none
    return [(path, names[label]) for path, label in zip(manifest.paths, manifest.label.tolist(), strict=True)]


def _rows(run: Path, record: dict[str, Any], name: str) -> Iterable[tuple[str, str]]:
    listed = table_of(run, record, name)
    return () if listed is None else zip(listed["path"], listed["label"], strict=True)


def _there(root: str, rows: Iterable[tuple[str, str]], part: str) -> Pictures:
    found = [(join(root, path), label) for path, label in rows]
    found = [(file, label) for file, label in found if stat_at(file) is not None]
    return Pictures([file for file, _ in found], [label for _, label in found], part)


def _none_left(root: str) -> UserError:
    return UserError(
        f"Expected pictures of the run's data set in {root}, to compare the export with the run's own answers, found "
        "none that can be read. Put them back where they were when they were extracted."
    )
