"""What every command that embeds may be told: backbone, decoding, engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Any

from cyclopts import Parameter, Token

from cache.commands.options import CACHE, NETWORK, RAY, SPEED, Part, Positive
from cache.errors import UserError


def _pooling(_: Any, tokens: Sequence[Token]) -> str:
    text = tokens[0].value
    if text.startswith("layer:") and text != "layer:":
        return f"avg@{text.removeprefix('layer:')}"
    if text != EVERY_STAGE and (text.partition("@")[0] not in POOLINGS or text.endswith("@")):
        raise ValueError(
            f"expected avg, max or flatten, any of them with @LAYER, {EVERY_STAGE}, or layer:LAYER; received {text}."
        )
    return text


def _share(_: Any, value: float) -> None:
    if not 0 <= value < float("inf"):
        raise ValueError("Expected 0, a share such as 0.5, or a number of GPUs.")


RESIZES = ("crop", "squash", "pad")
RESIZERS = ("fast", "pillow")
_FAST = find_spec("cykooz_resizer") is not None
POOLINGS = ("avg", "max", "flatten")
EVERY_STAGE = "stages"  # a pooling, too: the averages of every stage side by side, avg last
Resize = Annotated[str, Parameter(choices=RESIZES, group=NETWORK, help="how pictures become square")]
Resizer = Annotated[
    str,
    Parameter(
        choices=RESIZERS,
        group=NETWORK,
        help="who resizes them: fast_image_resize, or Pillow, two to five times slower, as before there was a choice",
    ),
]
Preprocessing = Annotated[
    str | None,
    Parameter(
        choices=("lite", "tf", "torch", "caffe", "unit", "none"),
        group=NETWORK,
        help="of pictures for the network (default: the backbone's own)",
    ),
]
FLOATS = ("float32", "float16")  # of stored rows
PRECISIONS = (*FLOATS, "int8")  # of the computation
Workers = Annotated[
    Positive | None,
    Parameter(group=SPEED, help="threads that read, decode and embed (default: one per core)", metavar="N"),
]
ENGINES = ("auto", "litert", "keras")
EngineName = Annotated[str, Parameter(choices=ENGINES, group=SPEED)]


@dataclass(frozen=True)
class BackboneOptions:
    """Which network, as it is asked for; `extract.backbones.backbone` checks it."""

    backbone: Annotated[str, Parameter(group=NETWORK, metavar="NAME,...")] = "efficientnet_lite0"
    """see the command backbones; auto: the winner of a tournament; or savedmodel:PATH, keras:FILE.keras,
    kerashub:PRESET; several with commas: one reading of the pictures for all"""
    weights: Annotated[str, Parameter(group=NETWORK, metavar="NAME|FILE")] = "pretrained"
    """pretrained (or imagenet), none (random) or a file"""
    input_size: Annotated[Positive | None, Parameter(group=NETWORK, metavar="PIXELS")] = None
    """pixels a side (default: the backbone's own)"""
    pooling: Annotated[str | None, Parameter(converter=_pooling, group=NETWORK, metavar="HOW")] = None
    """how feature maps become rows: avg, max or flatten; avg@NAME (or layer:NAME) for those of an inner layer; stages:
    the averages of every stage side by side, avg last, in the same time (default: stages for efficientnet_lite0 to 2,
    else avg)"""
    preprocessing: Preprocessing = None
    precision: Annotated[str, Parameter(choices=PRECISIONS, group=NETWORK)] = "float32"
    """of the computation; float16 is for a GPU, int8 for a CPU: twice as fast with VNNI, calibrated on photographs or,
    where its rows would be poor, on a sample of the pictures"""


@dataclass(frozen=True)
class Columns:
    """How a source says which picture is what, where it does not call that `path` and `label`."""

    path_column: Annotated[str | None, Parameter(metavar="NAME")] = None
    """of a table: which column has the pictures, their paths or, in Parquet, their bytes"""
    label_column: Annotated[str | None, Parameter(metavar="NAME")] = None
    """of a table, metadata.csv or WebDataset's .json: which column has the classes; a suffix of WebDataset will do"""
    suffix: Annotated[str, Parameter(metavar=".EXT")] = ""
    """of a table: what its paths leave out, such as .jpg"""


AS_NAMED = Columns()


@dataclass(frozen=True)
class Decoding:
    """How bytes become pixels."""

    # The largest centred square, the whole picture with its aspect ratio changed, or the whole picture on black.
    resize: Resize = "crop"
    max_pixels: Annotated[Positive, Parameter(group=NETWORK)] = 64_000_000
    """reject larger pictures, by their header, before they are decoded"""
    # 0.3 GB decoded; above every phone's and most cameras' single shots.
    resizer: Resizer = "fast" if _FAST else "pillow"

    @property
    def rule(self) -> tuple[str, str]:
        """What fixes the pixels, for whoever keeps them by it: `resize` and `resizer`."""
        return self.resize, self.resizer

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise UserError(f"Expected a resize rule among {', '.join(RESIZES)}, received {self.resize!r}.")
        if self.resizer not in RESIZERS:
            raise UserError(f"Expected a resizer among {', '.join(RESIZERS)}, received {self.resizer!r}.")
        if self.resizer == "fast" and not _FAST:
            raise UserError(
                "Expected the package cykooz-resizer, by which these pictures are resized, found none. Run "
                "`pip install cykooz-resizer` (where there is no wheel, as on Linux on ARM, with a Rust compiler), or "
                "run extract again with --resizer pillow, for rows that do without."
            )


@dataclass(frozen=True)
class Engine:
    """What computes, and how much at a time; no number changes by more than rounding."""

    engine: EngineName = "auto"
    """what runs the backbone"""
    batch_size: Annotated[Positive | None, Parameter(group=SPEED, metavar="N")] = None
    """pictures per step (default: the engine's own)"""
    workers: Workers = None


@dataclass(frozen=True)
class Options(Engine):
    """How to extract; nothing here changes a number by more than rounding, but for `dtype`."""

    dtype: Annotated[str, Parameter(choices=FLOATS, group=CACHE)] = "float32"
    """of stored rows; float16 halves them"""
    shard: Annotated[Part, Parameter(show_default=False, group=CACHE)] = (1, 1)
    """only part I of N, by the path's hash, for N machines"""
    rehash: Annotated[bool, Parameter(group=CACHE)] = False
    """read all files again, whatever their size and time say"""
    force: Annotated[bool, Parameter(group=CACHE)] = False
    """embed all pictures again, cached or not"""


Address = Annotated[
    tuple[str, ...] | None, Parameter(consume_multiple=(0, 1), group=RAY, metavar="[ADDRESS]")
]


@dataclass(frozen=True)
class Ray:
    """On which machines, where one is not enough; no number changes by more than rounding."""

    ray: Address = None
    """embed on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT; without an address, on one of this machine's cores"""
    ray_workers: Annotated[Positive | None, Parameter(group=RAY, metavar="N")] = None
    """how many workers (default: one a GPU, or for every four cores); --workers are the threads and cores of each"""
    ray_gpus: Annotated[float, Parameter(group=RAY, metavar="SHARE", validator=_share)] = 1.0
    """of a GPU that each worker takes, where there are any; 0: none"""

    @property
    def asked(self) -> bool:
        """Whether Ray is to do it."""
        return self.ray is not None

    @property
    def address(self) -> str | None:
        """The cluster's; None for one of this machine."""
        return self.ray[0] if self.ray else None
