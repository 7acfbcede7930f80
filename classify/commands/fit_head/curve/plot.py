"""The learning curve as a picture."""

from __future__ import annotations

import numpy as np

from cache.text import counted
from classify.commands.fit_head.curve.learning_curve import LearningCurve
from classify.report.figures import new_figure, png
from classify.report.text import TITLE, printable

COLOUR = "#1f5fa8"


def learning_curve_png(curve: LearningCurve, title: str = "") -> bytes:
    """Draw accuracy against labels (log scale), each draw faint, and return the PNG file's bytes.

    `title` says which head on what; default: the curve's head.

    The dashed line is the power law, up to twice the labels, with its range there.
    """
    from matplotlib.ticker import NullLocator

    figure = new_figure(8.5, 5.2)
    axes = figure.subplots()
    sizes = np.array([point.size for point in curve.points])
    accuracy = np.array([point.accuracy for point in curve.points])
    ends = np.array([[p.accuracy - p.low, p.high - p.accuracy] for p in curve.points]).reshape(-1, 2).T
    for point in curve.points:
        axes.scatter(
            np.full(len(point.draws), point.size), point.draws, s=9, color=COLOUR, alpha=0.25, zorder=2
        )
    law = curve.forecast
    if law:
        at = np.geomspace(law.start, 2 * law.labels, 100)
        axes.plot(at, law.at(at), color="#d1681d", linestyle=(0, (5, 3)), linewidth=1.4, label="power law")
        last = float(law.at(np.array(law.labels)))
        error = [[law.gain - law.gain_low], [law.gain_high - law.gain]]
        axes.errorbar(
            [2 * law.labels],
            [last + law.gain],
            np.clip(error, 0, None),
            color="#d1681d",
            marker="D",
            markersize=5,
            linestyle="none",
            capsize=3,
            label="forecast for twice the labels",
        )
    axes.errorbar(
        sizes,
        accuracy,
        ends.clip(0),
        color=COLOUR,
        marker="o",
        markersize=6,
        linewidth=1.6,
        elinewidth=1.4,
        capsize=3,
        zorder=3,
        label="mean, with 95 % interval",
    )
    axes.set_xscale("log")
    ticks = [*sizes.tolist(), *([2 * law.labels] if law else [])]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("labels fitted on")
    axes.set_ylabel("accuracy on pictures held out")
    # parse_math=False: a head may be called "$5"
    axes.set_title(
        f"Learning curve of {printable(title or curve.head, TITLE, keep='both')}\n"
        f"{curve.folds} folds of {counted(curve.n, 'training picture')}",
        loc="left",
        parse_math=False,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", frameon=False)
    return png(figure)
