"""The training history as a table for spreadsheets."""

from __future__ import annotations

from math import isfinite

from classify.report.text import csv_bytes, csv_text
from classify.training.history import History

COLUMNS = (
    "number",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "calibrated_loss",
    "learning_rate",
    "seconds",
)


def history_csv(history: History) -> bytes:
    """Return a UTF-8 CSV file with a line an epoch; the first, number 0, is the head.

    Figures have six significant digits; one that is not finite is an empty cell.
    """
    rows = [
        [epoch.number, *(_cell(getattr(epoch, name)) for name in COLUMNS[1:])] for epoch in history.epochs
    ]
    return csv_bytes(csv_text(COLUMNS, rows))


def _cell(value: float) -> str:
    return f"{value:.6g}" if isfinite(value) else ""
