"""The reliability diagram: confidence against accuracy, before and after calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from classify.metrics.reliability import SHOWN, Calibration, Reliability
from classify.report.figures import new_figure, png
from classify.report.text import TITLE, printable

FEW = 10  # rows; a bin with fewer is drawn hollow
COLOURS = ("#1f5fa8", "#d1681d")


def reliability_png(sets: Mapping[str, Calibration], title: str = "") -> bytes:
    """Draw one or two sets of rows, by name, under a title, and return the PNG file's bytes.

    Left with temperature 1, right with the head's. Above, the accuracy of each tenth of the confidence with
    its 95 % interval, at its mean confidence, on a diagonal where both agree (hollow: fewer than 10 rows);
    below, the share of rows in it.
    """
    figure = new_figure(11.5, 7.8)
    grid = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=[3.5, 1])
    temperature = next(iter(sets.values())).temperature
    edges = np.linspace(0, 1, SHOWN + 1)
    for column, when in enumerate(
        ("before calibration", f"after calibration, temperature {temperature:.3g}")
    ):
        above, below = grid[:, column]
        above.set_title(when, fontsize=12, loc="left", pad=42)
        above.plot([0, 1], [0, 1], color="0.55", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        for line, (name, each) in enumerate(sets.items()):
            found, colour = each.after if column else each.before, COLOURS[line]
            _draw(above, found, colour)
            # Above the axes: inside, a bin of few rows may lie anywhere.
            above.text(
                0,
                1.075 - 0.05 * line,
                _label(name, found),
                color=colour,
                fontsize=9,
                transform=above.transAxes,
            )
            below.stairs(found.count / found.n, edges, color=colour, fill=True, alpha=0.2)
            below.stairs(found.count / found.n, edges, color=colour, linewidth=1.4)
        above.set_ylim(-0.02, 1.02)
        below.set_xlabel("confidence (probability of the predicted class)")
        below.set_xlim(-0.01, 1.01)
        below.set_xticks(edges[::2])
        for axes in (above, below):
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="0.92", linewidth=0.8)
            axes.set_axisbelow(True)
    grid[0, 0].set_ylabel("accuracy, with 95 % intervals")
    grid[1, 0].set_ylabel("share of pictures")
    if title:
        # parse_math=False: a head may be called "$5"
        figure.suptitle(
            f"Probabilities of {printable(title, TITLE, keep='both')}",
            x=0.01,
            ha="left",
            fontsize=13,
            parse_math=False,
        )
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, frameon=False)
    return png(figure)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    point: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 7, "color": "0.35"}
    return [
        Line2D([], [], **point, label=f"{FEW} pictures or more in this tenth"),
        Line2D([], [], **point, markerfacecolor="white", label=f"fewer than {FEW}: hardly a figure"),
        Line2D([], [], color="0.55", linestyle=(0, (4, 3)), label="as sure as right"),
    ]


def _draw(axes: Any, found: Reliability, colour: str) -> None:
    seen = found.count > 0
    confidence, accuracy = found.confidence[seen], found.accuracy[seen]
    error = np.stack([accuracy - found.low[seen], found.high[seen] - accuracy]).clip(0)
    axes.errorbar(confidence, accuracy, error, linestyle="none", ecolor=colour + "90", elinewidth=1.6)
    size = 18 + 120 * np.sqrt(found.count[seen] / found.n)
    fill = np.where(found.count[seen] < FEW, "white", colour)
    axes.scatter(confidence, accuracy, size, c=fill, edgecolors=colour, zorder=3, clip_on=False)


def _label(name: str, found: Reliability) -> str:
    chance = f"by chance {found.chance_low:.3f} to {found.chance_high:.3f}"
    return f"{name}, n = {found.n:,}: calibration error {found.ece:.3f} ({chance})"
