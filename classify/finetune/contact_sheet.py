"""The changed pictures themselves, on one sheet."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from classify.confusion import printable
from classify.finetune.changes import OUTCOMES, Change

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
    # Figure and not pyplot: no global state and no window system, whatever backend the user has set.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = sorted(changes[:SHOWN], key=lambda change: OUTCOMES.index(change.outcome))
    columns = min(max(len(shown), LEAST), COLUMNS)
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(columns * 2.1, rows * 2.55 + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in cells[len(shown) :]:
        axes.axis("off")
    for axes, change in zip(cells, shown, strict=False):
        _draw(axes, change, decode(root / change.path))
    counts = [sum(change.outcome == outcome for change in changes) for outcome in OUTCOMES]
    listed = ", ".join(f"{n:,} {outcome}" for n, outcome in zip(counts, OUTCOMES, strict=True) if n)
    more = f"; {len(shown)} of them here" if len(shown) < len(changes) else ""
    plural = "s" if len(changes) > 1 else ""
    figure.suptitle(
        f"{len(changes):,} test picture{plural} with another answer: {listed}{more}",
        x=0.01,
        ha="left",
        fontsize=12,
    )
    out = BytesIO()
    with warnings.catch_warnings():
        # A script the font lacks shows as boxes; the CSV file beside the sheet has the names.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(out, format="png", dpi=110)
    return out.getvalue()


def _draw(axes: Any, change: Change, picture: np.ndarray | None) -> None:
    mark, colour = MARKS[change.outcome]
    if picture is None:
        picture = np.full((2, 2, 3), 230, np.uint8)
        axes.text(0.5, 0.5, "cannot be\nread now", ha="center", va="center", transform=axes.transAxes)
    axes.imshow(picture)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=2)
    caption = (
        f"{_short(change.label)}:\n{_short(change.before)} -> {_short(change.after)}\n"
        f"{mark} {change.probability_before:.0%} -> {change.probability_after:.0%}"
    )
    # parse_math=False: a class may be called "$5"
    axes.set_title(caption, fontsize=8, color=colour, loc="left", parse_math=False)


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= 14 else name[:13] + "…"
