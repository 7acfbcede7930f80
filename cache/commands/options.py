"""Options that every command has, kinds of words (90s, 2048,1024), and what the commands may be told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Argument, Group, Parameter, Token


def one_of(arguments: Iterable[Argument]) -> None:
    """Refuse two options of a group at once."""
    names = [argument.name for argument in arguments]
    given = [argument.name for argument in arguments if argument.tokens]
    if len(given) > 1:
        raise ValueError(f"Expected one of {', '.join(names)}; received {' and '.join(given)}.")


# Headings of `--help`, in this order; what has none of them stands above, under "Options".
PARTS = Group("Parts, one of", validator=one_of, sort_key=2)
NETWORK = Group("Network", sort_key=3)
VIEWS = Group("Augmented views", sort_key=4)
CACHE = Group("Cache", sort_key=5)
SPEED = Group("Speed", sort_key=6)
RAY = Group("Ray", sort_key=7)
DATA = Group("Data", sort_key=8)
GENERAL = Group("General", sort_key=9)


def _above_zero(_: Any, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError("Expected a whole number above 0.")


def _names(_: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(tokens[0].value.split(","))


def _widths(_: Any, tokens: Sequence[Token]) -> tuple[int, ...]:
    widths = tokens[0].value.split(",")
    if not all(width.isdecimal() and int(width) > 0 for width in widths):
        raise ValueError(f"expected widths such as 1024 or 2048,1024, received {tokens[0].value}.")
    return tuple(map(int, widths))


def _seconds(_: Any, tokens: Sequence[Token]) -> float:
    text = tokens[0].value
    number, unit = (text[:-1], text[-1]) if text[-1:] in ("s", "m", "h") else (text, "s")
    try:
        value = float(number) * {"s": 1, "m": 60, "h": 3600}[unit]
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"expected a time such as 90s, 5m or 1h, received {text}.")
    return value


def _per_cent(_: Any, tokens: Sequence[Token]) -> Fraction:
    text = tokens[0].value
    try:
        value = Fraction(text.strip().removesuffix("%")) / 100
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 0 < value < 1:
        raise ValueError(
            f"expected a share in per cent, above 0 and below 100, as 90 or 2%, received {text}."
        )
    return value


def _part(_: Any, tokens: Sequence[Token]) -> tuple[int, int]:
    i, _, n = tokens[0].value.partition("/")
    if not (i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
        raise ValueError(f"expected I/N with I from 1 to N, received {tokens[0].value}.")
    return int(i), int(n)


Positive = Annotated[int, Parameter(validator=_above_zero)]
Names = Annotated[Sequence[str], Parameter(converter=_names, n_tokens=1, metavar="NAME,NAME")]
Widths = Annotated[tuple[int, ...], Parameter(converter=_widths, n_tokens=1, metavar="N,N")]
Time = Annotated[float, Parameter(converter=_seconds, metavar="TIME")]
PerCent = Annotated[Fraction, Parameter(converter=_per_cent, metavar="PER_CENT")]
Part = Annotated[tuple[int, int], Parameter(converter=_part, n_tokens=1, metavar="I/N")]
if TYPE_CHECKING:
    File = str  # as it was typed
else:
    File = Annotated[
        str | Path, Parameter(metavar="PATH")
    ]  # from the Path shells know that they may complete files
FLAT = Parameter(name="*")  # the fields of a dataclass as options of the command


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every command may be told."""

    workspace: Annotated[File | None, Parameter(group=GENERAL, metavar="FOLDER")] = None
    """cache and state (default: .coldframe, or COLDFRAME_WORKSPACE)"""
    json: Annotated[bool, Parameter(group=GENERAL)] = False
    """print one JSON value for scripts"""
    quiet: Annotated[bool, Parameter(group=GENERAL)] = False
    """print results, rejects and errors only: no progress, no notes"""


@dataclass(frozen=True, kw_only=True)
class OfDataSet(Common):
    """What a command on embeddings may be told."""

    dataset: Annotated[str | None, Parameter(group=DATA, metavar="NAME")] = None
    """the data set (default: the one used last)"""
    space: Annotated[str | None, Parameter(group=DATA, metavar="ID")] = None
    """start of a space's id (default: the one used last)"""


@dataclass(frozen=True, kw_only=True)
class ListOptions(Common):
    """What `cache ls` may be told."""


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(OfDataSet):
    """What `cache verify` may be told."""

    recompute: Annotated[Positive | None, Parameter(metavar="K")] = None
    """also embed K pictures again and compare"""
    seed: int = 0
    """which K pictures"""


@dataclass(frozen=True, kw_only=True)
class GcOptions(Common):
    """What `cache gc` may be told."""


@dataclass(frozen=True)
class RemoveOptions(Common):
    """What `cache rm` may be told."""

    spaces: Annotated[tuple[str, ...], Parameter(metavar="ID")] = ()
    """spaces to delete: starts of their ids"""
    _: KW_ONLY
    dataset: Annotated[str | None, Parameter(metavar="NAME")] = None
    """a data set to delete, with the rows that no other one needs"""
    activations: bool = False
    """delete what finetune keeps of the frozen part of networks"""
    force: bool = False
    """also what a run needs, or the only copy of pictures"""


@dataclass(frozen=True)
class ExportOptions(OfDataSet):
    """What `cache export` may be told."""

    out: File
    """file to write, as flowers.h5"""
    _: KW_ONLY
    force: bool = False
    """replace an existing file"""
