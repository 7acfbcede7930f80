"""What a fine-tune is asked to do, with a reason beside each default."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter

from cache.commands.options import one_of
from cache.errors import UserError
from extract.pictures.policies import NAMES, POLICIES

LEARNING_RATES = {"adamw": 3e-4, "adam": 3e-4, "sgd": 1e-2, "rmsprop": 1e-4}
GB = 10**9  # bytes, as limits are given


OWN_PART = "there is a validation part already"
WHERE = Group("What trains, one of", validator=one_of, sort_key=0)


@dataclass(frozen=True)
class Settings:
    """How to fine-tune; every field is in run.json, and a resumed run has the very same ones."""

    top: Annotated[int | None, Parameter(group=WHERE, metavar="N")] = 50  # the tutorials' choice
    """the last N layers of the backbone, as Keras counts"""
    from_layer: Annotated[str | None, Parameter(group=WHERE, metavar="N|NAME")] = None
    """everything from a layer up, as 129 or a name"""
    everything: Annotated[bool, Parameter(name="--all", group=WHERE)] = False
    """the whole backbone"""
    epochs: int = 10
    """most passes over the training pictures"""
    batch_size: int = 32
    """pictures per step"""
    optimizer: Annotated[str, Parameter(metavar="NAME")] = "adamw"
    """adamw, adam, sgd or rmsprop"""
    lr: float | None = None  # LEARNING_RATES
    """learning rate at its highest (default: adamw and adam 3e-4, rmsprop 1e-4, sgd 1e-2)"""
    momentum: float = 0.9
    """of sgd and rmsprop"""
    weight_decay: float = 0.0
    """of adamw"""
    layer_decay: float = 1.0
    """share of the learning rate that each layer has of the one above"""
    schedule: Annotated[str, Parameter(metavar="NAME")] = "cosine"
    """of the learning rate: cosine to zero after a rise during the first epoch, or constant"""
    average: Annotated[float, Parameter(metavar="EPOCHS")] = 2.0
    """judge an average of the weights over about so many epochs; of the last one the weights, too; 0: no average"""
    label_smoothing: float = 0.0
    """share of each target spread over all classes"""
    mixup: float = 0.0
    """mix pairs of pictures' activations, by Beta(a, a); 0: do not"""
    skip_easy: Annotated[float, Parameter(metavar="SHARE")] = 0.0
    """share of the pictures that most epochs skip, out of those with a low loss, as 0.375; 0: none"""
    larger: bool = False
    """answer for larger pictures than the head does where that validates better; answers take up to 1.7 times as
    long"""
    mirror: bool = False
    """answer for a picture and its mirror image together unless that validates worse; answers take twice as long"""
    class_weight: Annotated[str | None, Parameter(metavar="NAME")] = None
    """none or balanced (default: as the head was fitted)"""
    patience: int = 5
    """stop after so many epochs without a lower validation loss"""
    views: Annotated[int, Parameter(metavar="K")] = 3
    """augmented views of each picture, besides the plain one"""
    augment: Annotated[str, Parameter(metavar="POLICY", help=f"augmentation of the views: {NAMES}")] = (
        "standard"
    )
    view_size: Annotated[int | None, Parameter(metavar="PIXELS")] = None  # view_size.SHARE
    """pixels a side of the pictures that train (default: six sevenths of those that are answered for, where views are
    crops, without folds and --larger); 0: no fewer"""
    val_size: float = 0.15
    """share of the training part that validates, if the data has no such part"""
    refit: bool = False
    """once the validating pictures have chosen, train again with them: twice the time"""
    seed: int = 0
    """of batches and views"""
    dtype: Annotated[str, Parameter(metavar="NAME")] = "float16"
    """of the cached activations: float16 or float32"""
    precision: Annotated[str, Parameter(metavar="NAME")] = "auto"
    """of the training: float32, float16, or auto: float16 on a GPU"""
    max_cache_gb: Annotated[float, Parameter(metavar="GB")] = 20.0
    """more activations than this are computed live in each epoch"""
    checkpoint_every: int = 0
    """also keep a model every so many epochs; 0: only the best"""
    tensorboard: bool = False
    """write logs for TensorBoard"""

    def idle_val_size(self, why: str) -> list[str]:
        """Say that --val-size has no effect, and why; nothing where it is the default."""
        if self.val_size == Settings.val_size:
            return []
        return [f"--val-size {self.val_size:g} has no effect: {why}"]

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
        if self.mixup and self.skip_easy:
            raise UserError(
                f"Expected --skip-easy 0 with --mixup {self.mixup:g}, received {self.skip_easy:g}: the loss of a "
                "mixture does not tell which of its pictures is easy."
            )

    @property
    def learning_rate(self) -> float:
        """The highest learning rate."""
        return LEARNING_RATES[self.optimizer] if self.lr is None else self.lr


@dataclass(frozen=True)
class Pace:
    """The highest learning rate of a training, and why it is another than the optimizer's own."""

    rate: float
    usual: float  # the optimizer's own, or what was given
    moved: float | None = (
        None  # nats by which a step of the usual rate moves the head's answers; None: not tried
    )

    @property
    def lowered(self) -> bool:
        """Whether the usual rate would go too far."""
        return self.rate < self.usual

    def __str__(self) -> str:
        """Say what it is, and why."""
        if self.moved is None:
            return f"learning rate {self.rate:g}"
        said = f"a step at {self.usual:g} moves the head's answers by {self.moved:.2g} nats"
        return f"learning rate {self.rate:g}: {said}" + (", too far" if self.lowered else "")


_RANGES = (
    ("epochs", 1, 100_000),
    ("batch_size", 1, 65_536),
    ("lr", 1e-12, 1e3),
    ("momentum", 0, 0.9999),
    ("weight_decay", 0, 10),
    ("layer_decay", 1e-3, 1),
    ("average", 0, 100_000),
    ("label_smoothing", 0, 0.9),
    ("mixup", 0, 10),
    ("skip_easy", 0, 0.7),
    ("patience", 1, 100_000),
    ("views", 0, 1_000),
    ("view_size", 0, 4_096),
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
