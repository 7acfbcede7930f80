"""Logs for TensorBoard, one point an epoch."""

import importlib.util
from pathlib import Path

from cache.errors import UserError
from classify.training.history import Epoch


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
