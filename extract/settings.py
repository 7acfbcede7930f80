"""What every command that embeds may be told: backbone, decoding, engine, views."""

from dataclasses import dataclass

from cache.errors import UserError

RESIZES = ("crop", "squash", "pad")


@dataclass(frozen=True)
class Decoding:
    """How bytes become pixels.

    Parameters
    ----------
    resize : {"crop", "squash", "pad"}
        Which part fills the square: the largest centred square, the whole picture with its aspect ratio
        changed, or the whole picture centred on black.
    max_pixels : int
        Pictures whose header promises more (width * height) are rejected before they are decoded.
    """

    resize: str = "crop"
    max_pixels: int = 64_000_000  # 0.3 GB decoded; above every phone's and most cameras' single shots

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise UserError(f"Expected a resize rule among {', '.join(RESIZES)}, received {self.resize!r}.")


@dataclass(frozen=True)
class Options:
    """How to extract; nothing here changes a number by more than rounding, but for `dtype`."""

    engine: str = "auto"
    batch_size: int | None = None  # None: the engine's own
    workers: int | None = None  # None: one reading thread a core
    dtype: str = "float32"  # of the storage
    shard: tuple[int, int] = (1, 1)  # part i of n, by the path's hash
    rehash: bool = False  # read every file again, whatever its size and time say
    force: bool = False  # embed every picture again, cached or not
