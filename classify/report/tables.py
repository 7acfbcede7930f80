"""The figures of an evaluation as cells and tables of a page in Markdown."""

from __future__ import annotations

from classify.metrics.evaluation import Evaluation
from classify.report.text import escape, span, table

CLASSES = 200  # rows of the class table; report.json has them all
FIGURES = (
    "Accuracy",
    "95 % interval",
    "n",
    "Balanced accuracy",
    "Macro-F1",
    "Log-loss",
    "Brier",
    "Calibration error",
)


def figures(e: Evaluation) -> list[str]:
    """The cells below `FIGURES`."""
    balanced = f"{e.balanced_accuracy:.1%} ({span(e.balanced_low, e.balanced_high)})"
    rest = [f"{value:.3f}" for value in (e.macro_f1, e.log_loss, e.brier, e.ece)]
    return [f"{e.accuracy:.1%}", span(e.ci_low, e.ci_high), f"{e.n:,}", balanced, *rest]


def class_table(e: Evaluation, *more: str, before: Evaluation | None = None) -> str:
    """The classes with the lowest recall, at most `CLASSES` of them.

    Parameters
    ----------
    e : Evaluation
    *more : {"Precision", "F1"}
        Further columns.
    before : Evaluation, optional
        Of the same rows and classes: its recall comes first.
    """
    recall = (
        {"Recall": e.recall} if before is None else {"Recall before": before.recall, "Recall after": e.recall}
    )
    further = {"Precision": (e.precision, "{:.1%}"), "F1": (e.f1, "{:.3f}")}
    rows = [
        [
            escape(e.classes[i]),
            f"{e.support[i]:,}",
            *(f"{values[i]:.1%}" for values in recall.values()),
            span(e.recall_low[i], e.recall_high[i]),
            *(form.format(values[i]) for values, form in (further[name] for name in more)),
        ]
        for i in e.recall.argsort(kind="stable")[:CLASSES]
    ]
    return table(("Class", "n", *recall, "95 % interval", *more), rows)
