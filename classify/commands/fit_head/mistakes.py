"""Pictures that a head gets wrong though it never trained on them, the surest first: hard ones, and wrong labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cache.dataset import Embedded
from cache.frame import NUMBER, TEXT, frame
from classify.commands.fit_head.fitted_head import FittedHead
from classify.data.division import Division
from classify.data.splits import TEST, TRAIN
from classify.report.figures import Cell, picture_grid
from classify.report.text import OVER_A_PICTURE, TITLE, csv_bytes, csv_text, file_name, printable
from extract.pictures.decoding import RejectedImage
from extract.pictures.files import load_row
from extract.settings import Decoding

if TYPE_CHECKING:
    import pandas as pd

DRAWN, COLUMNS = 12, 6


@dataclass(frozen=True)
class Mistake:
    """One picture with its label, another answer, and that answer's probability."""

    path: str
    label: str
    predicted: str
    probability: float
    part: str  # "test", or "train" where a model of cross-validation answered that had not seen it
    row: int  # of the manifest


def mistakes(trained: FittedHead, division: Division) -> list[Mistake]:
    """List the wrong answers on the test part, and out of fold on the training part, the surest first."""
    apart = trained.head.probabilities(trained.found.scores)
    parts = (
        ("test", TEST, division.truth, trained.predicted, trained.probability),
        ("train", TRAIN, division.y, trained.found.classes[apart.argmax(axis=1)], apart.max(axis=1)),
    )
    paths, found = division.data.manifest.paths, []
    for name, code, truth, predicted, probability in parts:
        rows, wrong = np.flatnonzero(division.split.part == code), predicted != truth
        columns = (each[wrong].tolist() for each in (truth, predicted, probability, rows))
        found += [
            Mistake(paths[row], label, answer, share, name, row)
            for label, answer, share, row in zip(*columns, strict=True)
        ]
    return sorted(found, key=lambda each: -each.probability)


def to_frame(found: Sequence[Mistake]) -> pd.DataFrame:
    """Return mistakes as a DataFrame, one a row, in their order.

    Columns: `path`, `label`, `predicted` (object: texts), `probability` (float64, 0 to 1, six digits), `part` (object:
    test or train).
    """
    columns = {"path": TEXT, "label": TEXT, "predicted": TEXT, "probability": NUMBER, "part": TEXT}
    return frame(columns, [vars(each) | {"probability": round(each.probability, 6)} for each in found])


def mistakes_csv(found: Sequence[Mistake]) -> bytes:
    """Return a UTF-8 CSV file with a line for each mistake."""
    return csv_bytes(csv_text(to_frame(found)))


def mistakes_png(found: Sequence[Mistake], data: Embedded, decoding: Decoding, title: str = "") -> bytes:
    """Draw the first twelve of at least one mistake; `title` says whose, in what. Return the PNG file's bytes."""
    cells = []
    for each in found[:DRAWN]:
        label, predicted = (printable(name, OVER_A_PICTURE) for name in (each.label, each.predicted))
        caption = f"{file_name(each.path)}\n{label}?\n{predicted} {each.probability:.0%}"
        cells.append(Cell(_picture(data, each.row, decoding), caption))
    whose = printable(title or "The head", TITLE, keep="both")
    return picture_grid(cells, COLUMNS, f"Labelled so? {whose} is sure of something else", lines=3)


def _picture(data: Embedded, row: int, decoding: Decoding) -> np.ndarray | None:
    try:
        return load_row(data.manifest, row, data.space.input_size, decoding)
    except RejectedImage:
        return None
