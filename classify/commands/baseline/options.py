"""What the baseline is asked to do, with a reason beside each default."""

from dataclasses import dataclass

from cache.errors import UserError
from classify.training.settings import Settings as Training

SMALLEST, LARGEST = (
    16,
    1024,
)  # pixels a side: below, three poolings leave too little; above, one Dense layer too much


@dataclass(frozen=True)
class Settings:
    """How to train; every field is in run.json."""

    input_size: int = 128  # pixels a side, as the tutorials have it
    epochs: int = 15
    augment: str = "flip"  # policy of the views; every picture is changed anew in each epoch
    batch_size: int = 32
    lr: float = 1e-3  # of Adam, constant: Keras' own default
    patience: int = 5  # epochs without a better validation loss before training stops
    val_size: float = 0.15  # of the training part, where the data set has no validation part of its own
    test_size: float = 0.2  # as for fit-head
    split: str | None = None  # as for fit-head: shares of the parts, as 80/10/10; None: test_size
    seed: int = 0  # of the split (as for fit-head), the first weights, batches, views and dropout
    max_memory_gb: float = 2.0  # more decoded pictures than this are read again in each epoch

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
            patience=self.patience,
            views=0 if self.augment == "none" else self.epochs,
            augment=self.augment,
            val_size=self.val_size,
            seed=self.seed,
            precision="float32",
        )
