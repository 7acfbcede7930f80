"""Matplotlib figures without a window: begun, and written down as a PNG file."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any

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
