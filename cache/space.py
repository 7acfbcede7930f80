"""A space: everything that fixes the numbers in an embedding."""

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cache.errors import UserError

DTYPES = ("float32", "float16")
LAYER = "layer:"  # before a layer's name, in place of a pooling: that layer's output as it is, (h, w, c)
STAGES = "stages:"  # before the widths of a row's parts, as "stages:24+40+1280": averages of every stage, then the top
TOP = "top"  # the last part: what the pooling "avg" gives
_WIDTHS = re.compile(r"[1-9][0-9]{0,6}(\+[1-9][0-9]{0,6})+")


@dataclass(frozen=True)
class Part:
    """Columns start to stop of an embedding, and what they are called."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Space:
    """Whatever an embedding's value depends on; two embeddings compare only within one space.

    Engine, versions, device and batch size are not part of it: they move numbers by rounding only.
    """

    backbone: str  # name of the pretrained network
    weights: str  # SHA-256 in hex over the weight tensors, not over the file they came in
    pooling: str  # layer and pooling that the embedding is read from
    input_size: int  # side of the square picture, in pixels
    resize: str  # how a picture becomes that square
    preprocessing: str  # how uint8 RGB becomes the network's input
    decoder: str  # decoder and its policies (EXIF, alpha, CMYK, 16-bit, frames)
    view: str = "plain"  # augmentation policy and seed; "plain" is the picture itself
    precision: str = "float32"  # of the computation
    dtype: str = "float32"  # of the storage

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UserError(f"Expected a storage dtype among {', '.join(DTYPES)}, received {self.dtype!r}.")
        if self.pooling.startswith(STAGES) and not _WIDTHS.fullmatch(self.pooling.removeprefix(STAGES)):
            raise UserError(
                f"Expected the widths of two or more parts behind {STAGES!r}, as {STAGES}24+1280, received "
                f"{self.pooling!r}. A newer coldframe may have written it: update this one."
            )

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The parts of a row: "stage1", "stage2", ... and `TOP`; none where the row is one whole."""
        if not self.pooling.startswith(STAGES):
            return ()
        widths = [int(width) for width in self.pooling.removeprefix(STAGES).split("+")]
        ends = list(itertools.accumulate(widths))
        names = [f"stage{number}" for number in range(1, len(widths))] + [TOP]
        return tuple(map(Part, names, [0, *ends], ends))

    @property
    def layout(self) -> str:
        """What its rows are, for people."""
        return f"stages, {self.parts[-1].stop:,} numbers" if self.parts else self.pooling

    @property
    def resampling(self) -> str:
        """The last of the decoder's policies: how pictures are resized, and by what if that is not Pillow."""
        return self.decoder.rpartition(";")[2]

    def to_json(self) -> str:
        """Return the canonical JSON: ASCII, keys sorted, no spaces."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @cached_property
    def id(self) -> str:
        """SHA-256 in hex of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode("ascii")).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> "Space":
        """Read a space back.

        Raises
        ------
        UserError
            For anything but exactly the known fields: a field this version does not know may change the
            numbers, so it is refused and never dropped.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"Expected a space as JSON, received something else ({error}).") from error
        types = {field.name: field.type for field in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or fields.keys() != types.keys():
            received = sorted(fields) if isinstance(fields, dict) else type(fields).__name__
            raise UserError(
                f"Expected a space with the fields {sorted(types)}, received {received}. "
                "A newer coldframe may have written it: update this one."
            )
        for name, kind in types.items():
            if type(fields[name]) is not kind:
                raise UserError(f"Expected {name} of a space to be {kind}, received {fields[name]!r}.")
        return cls(**fields)


def tell_apart(spaces: Sequence[Space]) -> list[str]:
    """Name spaces in a few words each: the backbone, and of several with one backbone what else differs."""

    def named(space: Space) -> str:
        same = [other for other in spaces if other.backbone == space.backbone]
        words = {each: _words(each) for each in same}
        differing = [name for name in words[space] if len({words[each][name] for each in same}) > 1]
        return " ".join([space.backbone, *(words[space][name] for name in differing)])

    return [named(space) for space in spaces]


def _words(space: Space) -> dict[str, str]:
    """What people call the fields of a space."""
    fields = {name: str(value) for name, value in dataclasses.asdict(space).items()}
    return fields | {
        "pooling": "stages" if space.parts else space.pooling,
        "input_size": f"{space.input_size} pixels",
        "precision": space.precision.partition(" ")[0],
        "decoder": space.resampling,
        "weights": f"weights {space.weights[:8]}",
    }


def side_by_side(names: Sequence[str]) -> str:
    """Join such names; what all of them begin with, up to the last "_", is said once."""
    starts = [names[0][: at + 1] for at, letter in enumerate(names[0]) if letter == "_"]
    common = max(
        (each for each in starts if all(name.startswith(each) for name in names)), key=len, default=""
    )
    return " + ".join([names[0], *(name.removeprefix(common) for name in names[1:])])
