"""What a fine-tune is asked to do, with a reason beside each default."""

from dataclasses import dataclass

from cache.errors import UserError
from extract.pictures.policies import POLICIES

LEARNING_RATES = {"adamw": 3e-4, "adam": 3e-4, "sgd": 1e-2, "rmsprop": 1e-4}
GB = 10**9  # bytes, as limits are given


@dataclass(frozen=True)
class Settings:
    """How to fine-tune; every field is in run.json, and a resumed run has the very same ones."""

    top: int | None = 50  # last layers of the backbone that train, as Keras counts; the tutorials' choice
    from_layer: str | None = None  # name or number: everything from there up
    everything: bool = False
    epochs: int = 10
    batch_size: int = 32
    optimizer: str = "adamw"
    lr: float | None = None  # None: LEARNING_RATES
    momentum: float = 0.9  # of sgd and rmsprop
    weight_decay: float = 0.0  # of adamw
    layer_decay: float = 1.0  # learning rate of a layer as a share of that of the layer above
    schedule: str = "cosine"  # up during the first epoch, then down to zero; or constant
    label_smoothing: float = 0.0
    mixup: float = 0.0  # of Beta(a, a), on activations; 0: none
    class_weight: str | None = None  # None: as the head was fitted
    patience: int = 5  # epochs without a better validation loss before training stops
    views: int = 3  # augmented views a picture, besides the plain one
    augment: str = "standard"
    val_size: float = 0.15  # of the training part, where the data set has no validation part of its own
    seed: int = 0  # of batches and views
    dtype: str = "float16"  # of the cached activations
    precision: str = "auto"  # float32, or on a GPU mixed_float16
    max_cache_gb: float = 20.0  # larger: the frozen part runs live
    checkpoint_every: int = 0  # epochs between weights that are kept for people; 0: only the best
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UserError(
                    f"Expected --{name.replace('_', '-')} from {low:g} to {high:g}, received {value:g}."
                )
        for name, known in _NAMES.items():
            if getattr(self, name) not in known:
                listed = ", ".join(filter(None, known))
                raise UserError(
                    f"Expected --{name.replace('_', '-')} out of {listed}; received {getattr(self, name)!r}."
                )

    @property
    def learning_rate(self) -> float:
        """The highest learning rate."""
        return LEARNING_RATES[self.optimizer] if self.lr is None else self.lr


_RANGES = (
    ("epochs", 1, 100_000),
    ("batch_size", 1, 65_536),
    ("lr", 1e-12, 1e3),
    ("momentum", 0, 0.9999),
    ("weight_decay", 0, 10),
    ("layer_decay", 1e-3, 1),
    ("label_smoothing", 0, 0.9),
    ("mixup", 0, 10),
    ("patience", 1, 100_000),
    ("views", 0, 1_000),
    ("val_size", 0.01, 0.9),
    ("max_cache_gb", 0, 1e6),
    ("checkpoint_every", 0, 100_000),
)
_NAMES = {
    "augment": tuple(POLICIES),
    "optimizer": tuple(LEARNING_RATES),
    "schedule": ("cosine", "constant"),
    "class_weight": (None, "none", "balanced"),
    "dtype": ("float16", "float32"),
    "precision": ("auto", "float32", "float16"),
}
