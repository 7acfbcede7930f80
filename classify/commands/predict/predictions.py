"""The most probable classes of each picture, as rows, as a table and as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from cache.frame import FLAG, NUMBER, TEXT, frame
from classify.report.text import csv_text

if TYPE_CHECKING:
    import pandas as pd

# Columns by how their names begin: what is neither is text.
NUMBERS, FLAGS = ("probability", "typical", "similarity"), ("unknown",)
SEPARATOR = "|"  # between the classes of a set, in a table


@dataclass(frozen=True)
class Predictions:
    """The k most probable classes of n pictures: `label` and `probability`, both (n, k), falling.

    `more` are further columns by name, n values each: texts, numbers, truth values, or lists of texts.
    """

    paths: Sequence[str]
    label: np.ndarray
    probability: np.ndarray
    more: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """path, label, probability, label_2, probability_2, ..., and then those of `more`."""
        ranks = ["", *(f"_{rank}" for rank in range(2, self.label.shape[1] + 1))]
        return ["path", *(f"{name}{rank}" for rank in ranks for name in ("label", "probability")), *self.more]

    def records(self) -> list[dict[str, Any]]:
        """Return one dictionary a picture, its keys in the order of `columns`."""
        names, shares = self.columns, self.probability.astype(float).round(6)
        more = zip(*self.more.values(), strict=True) if self.more else repeat(())
        return [
            dict(zip(names, (path, *chain.from_iterable(zip(*each, strict=True)), *also), strict=True))
            for (path, *each), also in zip(
                zip(self.paths, self.label.tolist(), shares.tolist(), strict=True), more, strict=False
            )
        ]

    def to_frame(self) -> pd.DataFrame:
        """Return a DataFrame, one picture a row.

        Columns: `path` (object: text), then for each of the k classes, the most probable first, `label` (object: text)
        and `probability` (float64, 0 to 1, six digits); from the second on `label_2`, `probability_2` and so on. Then
        those of `more`: lists of texts are one text each, with | between them.
        """
        types = {name: NUMBER if name.startswith(NUMBERS) else TEXT for name in self.columns} | {
            name: FLAG for name in self.more if name in FLAGS
        }
        rows = [
            {name: SEPARATOR.join(each) if isinstance(each, list) else each for name, each in row.items()}
            for row in self.records()
        ]
        return frame(types, rows)

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
