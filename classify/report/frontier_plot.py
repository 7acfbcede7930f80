"""Sets of networks as a picture: accuracy against what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cache.space import side_by_side
from cache.text import counted
from classify.metrics.frontier import Frontier, Tried
from classify.report.figures import new_figure, png
from classify.report.text import IN_A_TITLE, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 10  # sets, up to which each has its name in the picture
BEST, CHEAPEST, EDGE, OTHER = "#1c7c3c", "#d1681d", "#1f5fa8", "0.6"


def frontier_png(found: Frontier, title: str = "") -> bytes:
    """Return `draw` as the PNG file's bytes."""
    return png(draw(found, title))


def draw(found: Frontier, title: str = "") -> Figure:
    """Draw the accuracy of sets with 95 % intervals against milliseconds a picture, or networks where one is not known.

    A line joins the sets that no cheaper one reaches; the band is one standard error below the best.
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    timed = all(each.milliseconds is not None for each in found.tried)
    figure = new_figure(8.5, 5.2)
    axes = figure.subplots()
    axes.set_xlabel(
        "milliseconds a picture, all networks of the set together" if timed else "networks in the set"
    )

    def at(each: Tried) -> float:
        return each.milliseconds if timed and each.milliseconds is not None else len(each.networks)

    drawn = set[int]()
    best, cheapest, edge = found.best, found.cheapest, found.edge
    axes.axhspan(
        best.accuracy - best.error,
        best.accuracy,
        color=BEST,
        alpha=0.09,
        linewidth=0,
        label="within one standard error of it",
    )
    axes.step(
        [at(each) for each in edge],
        [each.accuracy for each in edge],
        where="post",
        color=EDGE,
        alpha=0.35,
        linewidth=1.2,
    )
    for words, colour, marker, sets in (
        ("the most accurate", BEST, "D", [best]),
        ("the cheapest near it", CHEAPEST, "o", [cheapest]),
        ("no cheaper set is as good", EDGE, "o", edge),
        ("others", OTHER, "s", list(found.tried)),
    ):
        fresh = [each for each in sets if id(each) not in drawn]
        drawn |= {id(each) for each in fresh}
        if not fresh:
            continue
        accuracy = np.array([each.accuracy for each in fresh])
        low, high = np.array([each.interval for each in fresh]).T
        axes.errorbar(
            [at(each) for each in fresh],
            accuracy,
            np.array([accuracy - low, high - accuracy]).clip(0),
            color=colour,
            marker=marker,  # not by colour alone
            markersize=7,
            capsize=3,
            elinewidth=1.2,
            linestyle="none",
            label=words,
            zorder=2 if colour == OTHER else 3,
        )
        named = fresh if colour != OTHER or len(found.tried) <= NAMED else []  # the table has them all
        for each in named:
            axes.annotate(
                printable(side_by_side(_short(each.networks, found)), 40, keep="end"),
                (at(each), each.accuracy),
                (7, 5 if each in edge else -13),
                textcoords="offset points",
                fontsize=9,
                color=colour,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
                parse_math=False,
            )
    costs = [at(each) for each in found.tried]
    axes.set_xlim(0, max(costs) * 1.3)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=not timed))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.set_ylabel("accuracy, cross-validated")
    axes.set_title(
        f"Networks side by side: {printable(title, IN_A_TITLE)}\n"
        f"{counted(best.n, 'training picture')}, with 95 % intervals",
        loc="left",
        fontsize=12,
        parse_math=False,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    order = ["the most accurate", *handles]  # and then the band, as it was drawn
    handles = {words: handles[words] for words in order}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _short(names: Sequence[str], found: Frontier) -> list[str]:
    """Names without what all networks begin with."""
    every = dict.fromkeys(name for each in found.tried for name in each.networks)
    shared = next(iter(every)).rpartition("_")[0] + "_"
    alike = len(every) > 1 and all(name.startswith(shared) for name in every)
    return [name.removeprefix(shared) if alike else name for name in names]
