"""What `baseline` may be told: every default, type and help once."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from cache.commands.options import FLAT, PARTS, OfDataSet, Positive
from cache.errors import UserError
from classify.training.settings import Settings as Training
from extract.pictures.policies import NAMES

# Pixels a side: below, three poolings leave too little; above, one Dense layer too much.
SMALLEST, LARGEST = 16, 1024


@dataclass(frozen=True)
class Settings:
    """How to train; every field is in run.json."""

    input_size: Annotated[Positive, Parameter(metavar="PIXELS")] = 128  # as the tutorials have it
    """pixels a side"""
    epochs: int = 15
    """most passes over the training pictures"""
    augment: Annotated[
        str, Parameter(metavar="POLICY", help=f"kind of augmentation, new in each epoch: {NAMES}")
    ] = "flip"
    batch_size: int = 32
    """pictures per step"""
    lr: float = 1e-3  # constant: Keras' own default
    """learning rate of Adam"""
    patience: int = 5
    """stop after so many epochs without a lower validation loss"""
    val_size: float = 0.15
    """share of the training part that validates, if the data has no such part"""
    test_size: Annotated[float, Parameter(group=PARTS)] = 0.2
    """held-out share where the data has none, as in fit-head"""
    split: Annotated[str | None, Parameter(group=PARTS, metavar="TRAIN/VAL/TEST")] = None
    """shares of the parts, as 80/10/10; as in fit-head"""
    seed: int = 0
    """of the split, as in fit-head, and of weights, batches, views and dropout"""
    max_memory_gb: Annotated[float, Parameter(metavar="GB")] = 2.0
    """more decoded pictures than this are read in each epoch"""

    def __post_init__(self) -> None:
        self.training()
        if not SMALLEST <= self.input_size <= LARGEST:
            raise UserError(
                f"Expected --input-size from {SMALLEST} to {LARGEST} for the baseline, received {self.input_size}."
            )
        if not self.max_memory_gb >= 0:
            raise UserError(f"Expected --max-memory-gb of at least 0, received {self.max_memory_gb:g}.")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"Expected --seed from 0 to {2**32 - 1}, received {self.seed}.")

    def training(self) -> Training:
        """The same for the training loop that finetune has; UserError for what it refuses."""
        return Training(
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer="adam",
            lr=self.lr,
            schedule="constant",
            average=0.0,
            patience=self.patience,
            views=0 if self.augment == "none" else self.epochs,
            augment=self.augment,
            val_size=self.val_size,
            seed=self.seed,
            precision="float32",
        )


@dataclass(frozen=True, kw_only=True)
class BaselineOptions(OfDataSet):
    """What `baseline` may be told."""

    settings: Annotated[Settings, FLAT] = Settings()
