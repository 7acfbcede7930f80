"""What training did, epoch by epoch; as CSV and for TensorBoard."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cache.errors import UserError
from cache.frame import COUNT, NUMBER, frame
from classify.report.text import csv_bytes, csv_text

if TYPE_CHECKING:
    import pandas as pd

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


@dataclass(frozen=True)
class Epoch:
    """One pass over the training rows; losses in nats, of the smoothed targets if they are smoothed.

    `loss` and `accuracy` are means over the batches as they were trained on; `val_loss`, `val_accuracy` and
    `calibrated_loss` (after temperature scaling) those of the weights after the epoch, or of an average of them.
    """

    number: int  # from 1; 0 is the head, before the first step
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float  # at the end of the epoch
    seconds: float
    calibrated_loss: float = math.nan  # NaN where nothing validates
    averaged: bool = False  # whether the weights after it are an average over its steps and those before

    @property
    def logs(self) -> dict[str, float]:
        """The figures as Keras calls them; those of validation where anything validates."""
        logs = {"loss": self.loss, "accuracy": self.accuracy}
        if not math.isnan(self.val_accuracy):
            logs |= {"val_loss": self.val_loss, "val_accuracy": self.val_accuracy}
        return logs | {"lr": self.learning_rate}


@dataclass(frozen=True)
class Interpolation:
    """A point on the line from the head (alpha 0) to the trained weights (alpha 1), on the validation part."""

    alpha: float
    val_accuracy: float
    val_loss: float
    calibrated_loss: float


@dataclass(frozen=True)
class History:
    """All epochs, the one whose weights were kept, and the line from the head to it.

    `history`, `epoch` and `params` are those of a `keras.callbacks.History`, as `Model.fit` returns it.
    """

    epochs: Sequence[Epoch]  # the first is number 0
    best: int  # number of an epoch
    line: Sequence[Interpolation]
    alpha: float  # the chosen point
    val_n: int  # pictures that validate; with folds, all training pictures, each out of its fold
    folds: int = 0  # of cross-validation; 0: a validation part
    planned: int = 0  # epochs, had nothing stopped it
    steps: int = 0  # an epoch

    @property
    def epoch(self) -> list[int]:
        """Numbers of the epochs as Keras counts them: the first is 0, the state before training is none."""
        return [epoch.number - 1 for epoch in self.epochs if epoch.number]

    @property
    def history(self) -> dict[str, list[float]]:
        """What each epoch came to, by the name of the figure: as `Epoch.logs`."""
        logs = [epoch.logs for epoch in self.epochs if epoch.number]
        return {name: [each[name] for each in logs] for name in (logs[0] if logs else {})}

    @property
    def params(self) -> dict[str, int]:
        """How many epochs were planned, and how many steps each has."""
        return {"verbose": 0, "epochs": self.planned, "steps": self.steps}

    def to_frame(self) -> pd.DataFrame:
        """Return the epochs as a DataFrame, one a row; the first, number 0, is the state before training.

        Columns: `number` (int64), and float64 `loss`, `accuracy`, `val_loss`, `val_accuracy`, `calibrated_loss`,
        `learning_rate`, `seconds`, as in `Epoch`: losses in nats, accuracies from 0 to 1, NaN where there is none.
        """
        return frame(
            {name: COUNT if name == "number" else NUMBER for name in COLUMNS}, list(map(vars, self.epochs))
        )


def history_csv(history: History) -> bytes:
    """Return a UTF-8 CSV file with a line an epoch; the first, number 0, is the head.

    A figure that is not finite is an empty cell.
    """
    return csv_bytes(csv_text(history.to_frame().replace([math.inf, -math.inf], math.nan)))


def check_installed() -> None:
    """Refuse where TensorBoard is missing, with what to do."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "Expected TensorBoard for --tensorboard, found none. Run `pip install 'coldframe[tensorboard]'`, or leave "
            "the option out: history.csv and curves.png show the same."
        )


class Board:
    """Writes what `tensorboard --logdir FOLDER` shows: training and validation as two runs."""

    def __init__(self, folder: Path) -> None:
        check_installed()
        from tensorboard.summary import Writer

        self._train, self._validation = Writer(str(folder / "train")), Writer(str(folder / "validation"))

    def write(self, epoch: Epoch) -> None:
        """Add an epoch; it is on the disk when this returns."""
        for writer, loss, accuracy in (
            (self._train, epoch.loss, epoch.accuracy),
            (self._validation, epoch.val_loss, epoch.val_accuracy),
        ):
            writer.add_scalar("loss", loss, epoch.number)
            writer.add_scalar("accuracy", accuracy, epoch.number)
            writer.flush()
        self._train.add_scalar("learning_rate", epoch.learning_rate, epoch.number)
        self._train.flush()
