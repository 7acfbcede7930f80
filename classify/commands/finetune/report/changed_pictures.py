"""The pictures whose answer fine-tuning changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classify.report.text import csv_bytes, csv_text

OUTCOMES = ("mended", "broken", "still wrong")


@dataclass(frozen=True)
class Change:
    """One picture; `before` and `after` are what head and fine-tuned model call it, each with its probability."""

    path: str
    label: str
    before: str
    after: str
    probability_before: float
    probability_after: float

    @property
    def outcome(self) -> str:
        """`mended`: now right; `broken`: no longer right; `still wrong`: another mistake."""
        return OUTCOMES[0 if self.after == self.label else 1 if self.before == self.label else 2]


def changed(
    paths: Sequence[str],
    truth: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    p_before: np.ndarray,
    p_after: np.ndarray,
) -> list[Change]:
    """Find the pictures with another answer than before.

    Parameters
    ----------
    paths : sequence of n str
    truth, before, after : (n,) arrays of class names
    p_before, p_after : (n,) float arrays
        Probability of the predicted class.

    Returns
    -------
    changes : list of Change
        Mended and broken ones first; among each kind the most confident new answer first, equal ones in the
        order given.
    """
    found = np.flatnonzero(before != after)
    outside = (before[found] != truth[found]) & (after[found] != truth[found])
    order = found[np.lexsort((-p_after[found], outside))]
    columns = (each[order].tolist() for each in (truth, before, after, p_before, p_after))
    return [Change(*row) for row in zip((paths[i] for i in order), *columns, strict=True)]


def changed_csv(changes: Sequence[Change]) -> bytes:
    """Return a UTF-8 CSV file with a line a picture, and its header alone where nothing changed."""
    columns = ["path", "label", "before", "after", "probability_before", "probability_after", "outcome"]
    rows = (
        (c.path, c.label, c.before, c.after, *_rounded(c.probability_before, c.probability_after), c.outcome)
        for c in changes
    )
    return csv_bytes(csv_text(columns, rows))


def _rounded(*probabilities: float) -> list[float]:
    return [round(p, 6) for p in probabilities]
