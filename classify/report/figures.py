"""Matplotlib without a window; pictures in a grid."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float, layout: Any = "constrained") -> Figure:
    """Begin a figure of so many inches."""
    # Figure and not pyplot: no global state and no window system, whatever backend the user has set.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure, dpi: int = 110, **options: Any) -> bytes:
    """Return the PNG file's bytes; `options` are those of `Figure.savefig`."""
    out = BytesIO()
    with warnings.catch_warnings():
        # A script the font lacks shows as boxes; the table or text beside the picture has the names.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(out, format="png", dpi=dpi, **options)
    return out.getvalue()


@dataclass(frozen=True)
class Cell:
    """A picture, (s, s, 3) uint8 RGB or None for one that cannot be read, and what is said of it."""

    picture: np.ndarray | None
    caption: str
    colour: str = "0.2"
    frame: float = 0.8  # points


def picture_grid(cells: Sequence[Cell], columns: int, title: str = "", *, lines: int = 1) -> bytes:
    """Draw pictures row by row; return the PNG file's bytes.

    Parameters
    ----------
    cells : sequence of at least one Cell
    columns : int
        Places side by side; the last row may be short.
    title : str
    lines : int
        Of the longest caption.
    """
    rows = -(-len(cells) // columns)
    figure = new_figure(columns * 2.1, rows * (2.1 + 0.18 * lines) + 0.5 * bool(title))
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places[len(cells) :]:
        axes.axis("off")
    for axes, cell in zip(places, cells, strict=False):
        picture = cell.picture
        if picture is None:
            picture = np.full((2, 2, 3), 230, np.uint8)
            axes.text(0.5, 0.5, "cannot be\nread now", ha="center", va="center", transform=axes.transAxes)
        axes.imshow(picture)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(color=cell.colour, linewidth=cell.frame)
        # parse_math=False: a class may be called "$5"
        axes.set_title(cell.caption, fontsize=8, color=cell.colour, loc="left", parse_math=False)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, parse_math=False)
    return png(figure)
