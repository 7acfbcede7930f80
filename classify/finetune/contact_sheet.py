"""The changed pictures themselves, on one sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from classify.commands.finetune.report.changed_pictures import OUTCOMES, Change
from classify.report.figures import Cell, picture_grid
from classify.report.text import short

SHOWN, COLUMNS, LEAST = 24, 6, 4  # pictures, at most and at least side by side
# Not by colour alone: many people do not tell this green from this red.
MARKS = {"mended": ("✓", "#1c7c3c"), "broken": ("✗", "#b3261e"), "still wrong": ("✗", "0.4")}


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
    caption = (
        f"{short(change.label)}:\n{short(change.before)} -> {short(change.after)}\n"
        f"{mark} {change.probability_before:.0%} -> {change.probability_after:.0%}"
    )
    return Cell(picture, caption, colour, frame=2)
