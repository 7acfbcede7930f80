"""Accuracy of backbones against what they cost, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cache.text import counted
from classify.commands.compare_backbones.standings import Standing
from classify.report.figures import new_figure, png
from classify.report.text import IN_A_TITLE, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIED, BEHIND, WINNER = "#1f5fa8", "0.55", "#1c7c3c"


def tournament_png(table: Sequence[Standing], winner: Standing, dataset: str) -> bytes:
    """Return `draw` as the PNG file's bytes."""
    return png(draw(table, winner, dataset))


def draw(table: Sequence[Standing], winner: Standing, dataset: str) -> Figure:
    """Draw accuracy with its 95 % interval against milliseconds a picture (log scale).

    Parameters
    ----------
    table : sequence of Standing, at least one
    winner : Standing
        One of them.
    dataset : str
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

    figure = new_figure(8.5, 5.2)
    axes = figure.subplots()
    seen = set[str]()
    for each in table:
        won = each == winner
        what = "winner" if won else "no difference shown to the first" if each.tie else "behind the first"
        colour = WINNER if won else TIED if each.tie else BEHIND
        error = np.array([[each.accuracy - each.ci_low], [each.ci_high - each.accuracy]]).clip(0)
        axes.errorbar(
            [each.milliseconds],
            [each.accuracy],
            error,
            color=colour,
            marker="D" if won else "o" if each.tie else "s",  # not by colour alone
            markersize=7,
            capsize=3,
            linestyle="none",
            label="_" if what in seen else what,
        )
        seen.add(what)
        # parse_math=False: a backbone may be called "keras:$5.keras"
        axes.annotate(
            printable(each.label, 30, keep="end"),
            (each.milliseconds, each.accuracy),
            (7, 5),
            textcoords="offset points",
            fontsize=9,
            color=colour,
            parse_math=False,
        )
    costs = np.array([each.milliseconds for each in table])
    axes.set_xscale("log")
    axes.set_xlim(costs.min() / 1.3, costs.max() * 1.6)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("milliseconds a picture, the network alone (log scale)")
    axes.set_ylabel("accuracy, cross-validated ridge")
    axes.set_title(
        f"Backbones on {printable(dataset, IN_A_TITLE)}:\n"
        f"the same {counted(table[0].n, 'training picture')}, with 95 % intervals",
        loc="left",
        fontsize=12,
        parse_math=False,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure
