"""The confusion matrix, as text and as a picture."""

from __future__ import annotations

import textwrap

import numpy as np

from cache.text import align
from classify.metrics.evaluation import Evaluation
from classify.report.figures import new_figure, png
from classify.report.text import printable

TEXT_CLASSES = 40  # a wider table is not read in a terminal
NUMBER_CLASSES = 25  # beyond, numbers do not fit into the cells
NAME_CLASSES = 120  # beyond, names run into each other
LETTERS = 24  # of a name, beside the picture
LINE = 48  # letters of the title that fit over the smallest matrix
CONFUSION = "confusion.png"


def confusion_text(evaluation: Evaluation) -> str:
    """List the mistakes, most frequent first, after the whole matrix where it is not too wide."""
    matrix, names = evaluation.confusion, [printable(name) for name in evaluation.classes]
    parts = []
    if len(names) <= TEXT_CLASSES:
        rows = [["true \\ predicted", *names]]
        rows += [[name, *map(str, row)] for name, row in zip(names, matrix.tolist(), strict=True)]
        parts.append(align(rows, right=range(1, len(names) + 1)))
    wrong = matrix - np.diag(np.diag(matrix))
    true, predicted = np.nonzero(wrong)
    order = np.argsort(-wrong[true, predicted], kind="stable")
    lines = [["count", "true", "predicted"]]
    lines += [[str(wrong[true[i], predicted[i]]), names[true[i]], names[predicted[i]]] for i in order]
    parts.append(align(lines, right=[0]) if len(order) else "no mistakes")
    return "\n\n".join(parts)


def confusion_png(evaluation: Evaluation, title: str = "") -> bytes:
    """Draw the matrix, coloured by the share of the true class, and return the PNG file's bytes.

    `title` says whose answers these are, to what.
    """
    matrix, size = evaluation.confusion, len(evaluation.classes)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(3 + 0.22 * size, 5, 24))
    figure = new_figure(side + 1, side, layout=None)
    axes = figure.subplots()
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(picture, ax=axes, label="share of the true class", shrink=0.7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    interval = f"{evaluation.ci_low:.1%} - {evaluation.ci_high:.1%}"
    figures = f"accuracy {evaluation.accuracy:.1%} ({interval}), n = {evaluation.n:,}"
    lines = [*textwrap.wrap(printable(title), LINE), figures]
    # parse_math=False: a class may be called "$5"
    axes.set_title("\n".join(lines), fontsize=11, loc="left", pad=10, parse_math=False)
    if size <= NAME_CLASSES:
        names = [printable(name, LETTERS) for name in evaluation.classes]
        font = 9 if size <= NUMBER_CLASSES else 7
        axes.set_xticks(range(size), names, rotation=90, fontsize=font, parse_math=False)
        axes.set_yticks(range(size), names, fontsize=font, parse_math=False)
    if size <= NUMBER_CLASSES:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(
                column, row, str(matrix[row, column]), ha="center", va="center", fontsize=8, color=colour
            )
    return png(figure, dpi=100, bbox_inches="tight")
