"""The pictures whose answer fine-tuning changed: as a table and as a contact sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cache.frame import NUMBER, TEXT, frame
from classify.report.figures import Cell, picture_grid
from classify.report.text import OVER_A_PICTURE, csv_bytes, csv_text, printable

if TYPE_CHECKING:
    import pandas as pd

OUTCOMES = ("mended", "broken", "still wrong")
SHOWN, COLUMNS, LEAST = 24, 6, 4  # pictures, at most and at least side by side
# Not by colour alone: many people do not tell this green from this red.
MARKS = {"mended": ("✓", "#1c7c3c"), "broken": ("✗", "#b3261e"), "still wrong": ("✗", "0.4")}


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


def to_frame(changes: Sequence[Change]) -> pd.DataFrame:
    """Return changes as a DataFrame, one a row, in their order.

    Columns: `path`, `label`, `before`, `after` (object: texts), `probability_before`, `probability_after` (float64,
    0 to 1, six digits), `outcome` (object: one of `OUTCOMES`).
    """
    likely = ("probability_before", "probability_after")
    columns = dict.fromkeys(("path", "label", "before", "after"), TEXT) | dict.fromkeys(likely, NUMBER)
    records = [
        vars(each) | {name: round(getattr(each, name), 6) for name in likely} | {"outcome": each.outcome}
        for each in changes
    ]
    return frame(columns | {"outcome": TEXT}, records)


def changed_csv(changes: Sequence[Change]) -> bytes:
    """Return a UTF-8 CSV file with a line a picture, and its header alone where nothing changed."""
    return csv_bytes(csv_text(to_frame(changes)))


def contact_sheet(
    root: Path, changes: Sequence[Change], decode: Callable[[Path], np.ndarray | None]
) -> bytes:
    """Draw up to 24 of the changed pictures with what they were and are called; return the PNG file's bytes.

    Mended pictures come first, then broken ones, then those still wrong. Of more than 24 the most confident
    of the mended and the broken together are shown, so that neither hides the other.

    Parameters
    ----------
    root : Path
        Folder that the paths start from.
    changes : sequence of at least one Change, in the order of `changed`
    decode : callable
        Path -> (s, s, 3) uint8 RGB, or None for a file that cannot be read now.
    """
    shown = sorted(changes[:SHOWN], key=lambda change: OUTCOMES.index(change.outcome))
    counts = [sum(change.outcome == outcome for change in changes) for outcome in OUTCOMES]
    listed = ", ".join(f"{n:,} {outcome}" for n, outcome in zip(counts, OUTCOMES, strict=True) if n)
    more = f"; {len(shown)} of them here" if len(shown) < len(changes) else ""
    plural = "s" if len(changes) > 1 else ""
    title = f"{len(changes):,} test picture{plural} with another answer: {listed}{more}"
    cells = [_cell(change, decode(root / change.path)) for change in shown]
    return picture_grid(cells, min(max(len(shown), LEAST), COLUMNS), title, lines=3)


def _cell(change: Change, picture: np.ndarray | None) -> Cell:
    mark, colour = MARKS[change.outcome]
    label, before, after = (
        printable(name, OVER_A_PICTURE) for name in (change.label, change.before, change.after)
    )
    caption = (
        f"{label}:\n{before} -> {after}\n"
        f"{mark} {change.probability_before:.0%} -> {change.probability_after:.0%}"
    )
    return Cell(picture, caption, colour, frame=2)
