"""Pictures that a head gets wrong though it never trained on them, the surest first: hard ones, and wrong labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cache.dataset import Embedded
from classify.commands.fit_head.fitted_head import FittedHead
from classify.data.division import Division
from classify.data.splits import TEST, TRAIN
from classify.report.figures import Cell, picture_grid
from classify.report.text import csv_bytes, csv_text, short
from extract.pictures.decoding import RejectedImage
from extract.pictures.files import load_row
from extract.settings import Decoding

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


def mistakes_csv(found: Sequence[Mistake]) -> bytes:
    """Return a UTF-8 CSV file with a line for each mistake."""
    rows = ((m.path, m.label, m.predicted, round(m.probability, 6), m.part) for m in found)
    return csv_bytes(csv_text(["path", "label", "predicted", "probability", "part"], rows))


def mistakes_png(found: Sequence[Mistake], data: Embedded, decoding: Decoding) -> bytes:
    """Draw the first twelve of at least one mistake; return the PNG file's bytes."""
    cells = [
        Cell(_picture(data, m.row, decoding), f"{short(m.label)}?\n{short(m.predicted)} {m.probability:.0%}")
        for m in found[:DRAWN]
    ]
    return picture_grid(cells, COLUMNS, "Labelled so? The head is sure of something else", lines=2)


def _picture(data: Embedded, row: int, decoding: Decoding) -> np.ndarray | None:
    try:
        return load_row(data.manifest, row, data.space.input_size, decoding)
    except RejectedImage:
        return None
