"""The most probable classes of each picture, as rows, as a table and as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.frame import NUMBER, TEXT, frame
from classify.report.text import csv_text

if TYPE_CHECKING:
    import pandas as pd


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

    def records(self) -> list[dict[str, Any]]:
        """Return one dictionary a picture, its keys in the order of `columns`."""
        names, shares = self.columns, self.probability.astype(float).round(6)
        return [
            dict(zip(names, (path, *chain.from_iterable(zip(*each, strict=True))), strict=True))
            for path, *each in zip(self.paths, self.label.tolist(), shares.tolist(), strict=True)
        ]

    def to_frame(self) -> pd.DataFrame:
        """Return a DataFrame, one picture a row.

        Columns: `path` (object: text), then for each of the k classes, the most probable first, `label` (object: text)
        and `probability` (float64, 0 to 1, six digits); from the second on `label_2`, `probability_2` and so on.
        """
        types = {name: NUMBER if name.startswith("probability") else TEXT for name in self.columns}
        return frame(types, self.records())

    def csv(self) -> str:
        """Return a CSV file's text; `csv_bytes` encodes it."""
        return csv_text(self.to_frame())


def rank(probability: np.ndarray, classes: np.ndarray, paths: Sequence[str], top: int) -> Predictions:
    """Take the k most probable of C classes for each picture, at most all.

    Parameters
    ----------
    probability : (n, C) float array
    classes : (C,) array of names
    paths : sequence of n str
    top : int
        k

    Raises
    ------
    UserError
        When top is below 1.
    """
    if top < 1:
        raise UserError(f"Expected --top of at least 1, received {top}.")
    # Stable on the negated values: of equal probabilities the first column leads, as in argmax.
    order = np.argsort(-probability, axis=1, kind="stable")[:, :top]
    return Predictions(paths, classes[order], np.take_along_axis(probability, order, axis=1))
