"""Logs for TensorBoard, one point an epoch."""

import importlib.util
from pathlib import Path

from cache.errors import UserError
from classify.finetune.history import Epoch


class Board:
    """Writes what `tensorboard --logdir FOLDER` shows: training and validation as two runs."""

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("tensorflow") is None:
            raise UserError(
                "Expected TensorFlow for --tensorboard, found none. Install it, or leave the option out."
            )
        from tensorflow import summary

        self._summary = summary
        self._train = summary.create_file_writer(str(folder / "train"))
        self._validation = summary.create_file_writer(str(folder / "validation"))

    def write(self, epoch: Epoch) -> None:
        """Add an epoch; it is on the disk when this returns."""
        for writer, loss, accuracy in (
            (self._train, epoch.loss, epoch.accuracy),
            (self._validation, epoch.val_loss, epoch.val_accuracy),
        ):
            with writer.as_default(step=epoch.number):
                self._summary.scalar("loss", loss)
                self._summary.scalar("accuracy", accuracy)
                if writer is self._train:
                    self._summary.scalar("learning_rate", epoch.learning_rate)
            writer.flush()
