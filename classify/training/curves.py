"""The training history as pictures: over the epochs, and from the head to the fine-tuned weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from classify.metrics.intervals import wilson
from classify.report.figures import new_figure, png
from classify.report.text import IN_A_TITLE, TITLE, printable
from classify.training.history import History

TRAINING, VALIDATION, HEAD, KEPT = "#d1681d", "#1f5fa8", "0.35", "#1c7c3c"
LONG = 40  # epochs; of more, no dot each


def curves_png(history: History, head: str, dataset: str = "") -> bytes:
    """Draw accuracy and loss over the epochs and return the PNG file's bytes.

    Parameters
    ----------
    history : History
        Epoch 0, the head before the first step, is drawn where the vertical line is. Figures that are not
        finite are gaps. The shaded range is Wilson's 95 % interval of the validation accuracy. The validation loss is
        the calibrated one, by which the epoch was chosen, where it is known.
    head : str
        Name of the head that training started from; "" where it started from random weights.
    dataset : str
        What it trained on, for the title.

    What is kept is circled: the head where alpha is 0, whichever epoch came nearest to it.
    """
    figure, (left, right) = _figure(1, 2, (12.5, 5.4))
    epochs = history.epochs
    number = np.array([epoch.number for epoch in epochs])
    kept = history.best if history.alpha else int(number[0])
    at = int(np.flatnonzero(number == kept)[0])
    accuracy = _finite(epoch.accuracy for epoch in epochs), _finite(epoch.val_accuracy for epoch in epochs)
    calibrated = _finite(epoch.calibrated_loss for epoch in epochs)
    known = np.isfinite(calibrated).any()
    plain = _finite(epoch.val_loss for epoch in epochs)
    loss = _finite(epoch.loss for epoch in epochs), calibrated if known else plain
    for axes, (training, validation), form in ((left, accuracy, "{:.1%}"), (right, loss, "{:.3f}")):
        marker, level = ("o" if len(epochs) <= LONG else ""), validation[0]
        axes.axvline(0, color="0.75", linewidth=1, zorder=1)
        axes.axhline(level, color=HEAD, linewidth=1.2, linestyle=(0, (5, 3)), zorder=2)
        style = {"marker": marker, "markersize": 4, "linewidth": 1.6, "zorder": 3}
        axes.plot(number, training, color=TRAINING, label="training, as trained on", **style)
        axes.plot(number, validation, color=VALIDATION, label="validation", **style)
        axes.scatter(
            [kept],
            validation[at : at + 1],
            110,
            facecolors="none",
            edgecolors=KEPT,
            linewidths=2,
            zorder=4,
            label=_kept(history),
        )
        if np.isfinite(level):
            # Beside the axes: inside, a curve may run anywhere.
            axes.annotate(
                f"{'head' if head else 'untrained'}\n{form.format(level)}",
                (1, level),
                (5, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=HEAD,
            )
        last = max(int(number[-1]), 1)
        axes.set_xlim(-0.04 * last, 1.04 * last)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("epoch")
        # Above the axes, for the same reason.
        axes.annotate(
            "fine-tuning starts" if head else "training starts",
            (0, 1),
            (0, 5),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=9,
            color="0.45",
        )
        what = "Accuracy" if axes is left else "Calibrated loss (nats)" if known else "Loss (nats)"
        then = f", {form.format(validation[at])} after epoch {kept}" if at else ", which is kept"
        level_of = f"{form.format(level)} {'with the head' if head else 'untrained'}"
        axes.set_title(f"{what}, validation:\n{level_of}{then}", loc="left", fontsize=12, pad=22)
    _shade(left, number, accuracy[1], history.val_n)
    name = printable(head, IN_A_TITLE)
    where = f" on {printable(dataset, IN_A_TITLE)}" if dataset else ""
    # parse_math=False: a head may be called "$5"
    figure.suptitle(
        (f"Fine-tuning from the head {name}" if head else "Training from random weights") + where,
        x=0.01,
        ha="left",
        fontsize=13,
        parse_math=False,
    )
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return png(figure)


def interpolation_png(history: History, title: str = "") -> bytes:
    """Draw validation accuracy and calibrated loss on the line from the head to the fine-tuned weights, as a PNG file.

    At alpha the weights are (1 - alpha) * head + alpha * fine-tuned: WiSE-FT, Wortsman et al. 2021, "Robust
    fine-tuning of zero-shot models", arXiv 2109.01903. The shaded range is Wilson's 95 % interval. `title` says which
    head on what.
    """
    figure, (above, below) = _figure(2, 1, (8.5, 6.6), sharex=True)
    line = history.line
    alpha = np.array([point.alpha for point in line])
    accuracy = _finite(point.val_accuracy for point in line)
    loss = _finite(point.calibrated_loss for point in line)
    chosen = int(np.abs(alpha - history.alpha).argmin())
    for axes, values in ((above, accuracy), (below, loss)):
        axes.axvline(history.alpha, color=KEPT, linewidth=1, alpha=0.5, zorder=1)
        axes.plot(
            alpha, values, color=VALIDATION, marker="o", markersize=4, linewidth=1.6, label="validation"
        )
        axes.scatter(
            alpha[chosen : chosen + 1],
            values[chosen : chosen + 1],
            110,
            facecolors="none",
            edgecolors=KEPT,
            linewidths=2,
            zorder=4,
            label=f"chosen: alpha {history.alpha:.3g}",
        )
    _shade(above, alpha, accuracy, history.val_n)
    above.set_ylabel("validation accuracy")
    below.set_ylabel("calibrated validation loss (nats)")
    below.set_xlim(-0.03, 1.03)
    ticks = np.linspace(0, 1, 6)
    below.set_xticks(ticks, ["0\nhead", *(f"{tick:.1f}" for tick in ticks[1:-1]), "1\nfine-tuned"])
    below.set_xlabel("alpha: share of the fine-tuned weights")
    where = {0.0: "the head is kept unchanged", 1.0: "the fine-tuned weights are kept"}
    verdict = where.get(history.alpha, f"a mixture is kept, alpha {history.alpha:.3g}")
    above.set_title(f"Between head and fine-tuned weights: {verdict}", loc="left", fontsize=12)
    if title:
        figure.suptitle(
            printable(title, TITLE, keep="both"), x=0.01, ha="left", fontsize=13, parse_math=False
        )
    figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return png(figure)


def _figure(rows: int, columns: int, size: tuple[float, float], **keywords: Any) -> tuple[Any, Any]:
    figure = new_figure(*size)
    grid = figure.subplots(rows, columns, **keywords)
    for axes in grid:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, grid


def _finite(values: Iterable[float]) -> np.ndarray:
    """A loss that overflowed would stretch the axis without end; NaN is a gap."""
    found = np.array(list(values), np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def _kept(history: History) -> str:
    if not history.best or not history.alpha:
        return "kept: the head"
    if history.alpha < 1:
        return f"kept: {history.alpha:.3g} of the way to epoch {history.best}"
    return f"kept: epoch {history.best}"


def _shade(axes: Any, at: np.ndarray, accuracy: np.ndarray, n: int) -> None:
    from matplotlib.ticker import PercentFormatter

    low, high = wilson(accuracy * n, np.full(len(accuracy), n))
    axes.fill_between(
        at, low, high, color=VALIDATION, alpha=0.13, linewidth=0, label=f"95 % interval (n = {n:,})"
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1))
