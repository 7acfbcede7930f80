"""The plots of a page: small enough for a phone, and without titles, as the page has headings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from classify.metrics.intervals import wilson
from classify.report.figures import new_figure
from classify.report.html.svg import svg

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, DIM = "#1f5fa8", "#d1681d", "#1c7c3c", "#666666"
WIDE, HIGH = 5.2, 3.5  # inches
LONG = 40  # epochs; of more, no dot each


def reliability(sets: Mapping[str, Any]) -> Markup:
    """Confidence against accuracy after calibration; `sets` are `Calibration.to_json` by name."""
    figure, axes = _axes()
    axes.plot([0, 1], [0, 1], color=DIM, linewidth=1, linestyle=(0, (4, 3)), label="as sure as right")
    for (name, each), colour, marker in zip(sets.items(), (BLUE, ORANGE), "os", strict=False):
        bins = {what: np.array(values) for what, values in each["after"]["bins"].items()}
        seen = bins["count"] > 0
        x, y, low, high, count = (
            bins[what][seen] for what in ("confidence", "accuracy", "low", "high", "count")
        )
        axes.errorbar(
            x, y, np.array([y - low, high - y]).clip(0), linestyle="none", ecolor=colour, alpha=0.45
        )
        size = 16 + 90 * np.sqrt(count / count.sum())
        axes.scatter(x, y, size, color=colour, marker=marker, label=f"{name}, n = {count.sum():,}", zorder=3)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    _percent(axes.xaxis, axes.yaxis)
    return _markup(figure, "Reliability diagram: confidence against accuracy, in tenths of the confidence")


def learning_curve(curve: Mapping[str, Any]) -> Markup:
    """Accuracy against the number of labels; `curve` is `LearningCurve.to_json`, with a point at least."""
    figure, axes = _axes()
    points = curve["points"]
    size, accuracy, low, high = (
        np.array([p[name] for p in points]) for name in ("size", "accuracy", "low", "high")
    )
    axes.fill_between(size, low, high, color=BLUE, alpha=0.14, linewidth=0, label="95 % interval")
    axes.plot(size, accuracy, color=BLUE, marker="o", markersize=5, linewidth=1.8, label="mean of the draws")
    for point in points:
        axes.scatter(
            [point["size"]] * len(point["draws"]), point["draws"], 8, color=BLUE, alpha=0.35, linewidth=0
        )
    axes.set_xscale("log")
    axes.set_xticks(size, [f"{each:,}" for each in size.tolist()])
    axes.minorticks_off()
    axes.set(xlabel="labels fitted on", ylabel="accuracy, held out")
    _percent(axes.yaxis)
    return _markup(figure, "Learning curve: accuracy against the number of labels")


def epochs(history: pd.DataFrame, kept: int, n: int) -> tuple[Markup, Markup]:
    """Accuracy and loss over the epochs; `history` is history.csv, `kept` an epoch of it, and n pictures validated."""
    number = history["number"].to_numpy()
    known = history["calibrated_loss"].notna().any()
    loss = "calibrated_loss" if known else "val_loss"
    drawn = []
    for training, validation, says in (
        ("accuracy", "val_accuracy", "accuracy"),
        ("loss", loss, "calibrated loss (nats)" if known else "loss (nats)"),
    ):
        figure, axes = _axes()
        style: dict[str, Any] = {
            "marker": "o" if len(number) <= LONG else "",
            "markersize": 4,
            "linewidth": 1.8,
        }
        axes.plot(number, history[training], color=ORANGE, label="training", **style)
        axes.plot(number, history[validation], color=BLUE, label="validation", **style)
        if validation == "val_accuracy":
            share = history[validation].to_numpy(np.float64)
            low, high = wilson(share * n, np.full(len(share), n))
            axes.fill_between(number, low, high, color=BLUE, alpha=0.14, linewidth=0)
            _percent(axes.yaxis)
        at = history[number == kept]
        circle: dict[str, Any] = {"facecolors": "none", "edgecolors": GREEN, "linewidths": 2, "zorder": 4}
        axes.scatter(
            at["number"],
            at[validation],
            110,
            label=f"kept: epoch {kept}" if kept else "kept: as it began",
            **circle,
        )
        axes.locator_params("x", integer=True)
        axes.set(xlabel="epoch", ylabel=says)
        drawn.append(_markup(figure, f"Over the epochs: {says}"))
    return drawn[0], drawn[1]


def line(points: Sequence[Mapping[str, float]], alpha: float, n: int) -> Markup:
    """Validation accuracy from the head (alpha 0) to the fine-tuned weights (alpha 1)."""
    figure, axes = _axes()
    at, share = (np.array([point[name] for point in points]) for name in ("alpha", "val_accuracy"))
    low, high = wilson(share * n, np.full(len(share), n))
    axes.fill_between(at, low, high, color=BLUE, alpha=0.14, linewidth=0, label="95 % interval")
    axes.plot(at, share, color=BLUE, marker="o", markersize=4, linewidth=1.8)
    kept = np.abs(at - alpha).argmin()
    axes.scatter(
        at[kept], share[kept], 110, facecolors="none", edgecolors=GREEN, linewidths=2, zorder=4, label="kept"
    )
    axes.set_xticks([0, 0.5, 1], ["head", "half way", "fine-tuned"])
    axes.set(ylabel="validation accuracy")
    _percent(axes.yaxis)
    return _markup(figure, "Validation accuracy on the way from the head to the fine-tuned weights")


def _markup(figure: Figure, label: str) -> Markup:
    """The figure with a legend above it: inside, points may lie anywhere."""
    figure.legend(
        loc="outside upper left",
        ncols=2,
        frameon=False,
        borderaxespad=0,
        handletextpad=0.5,
        columnspacing=1.2,
    )
    return svg(figure, label)


def _axes() -> tuple[Figure, Axes]:
    figure = new_figure(WIDE, HIGH)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(DIM)
    axes.tick_params(color=DIM)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _percent(*sides: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    for side in sides:
        side.set_major_formatter(PercentFormatter(1))
