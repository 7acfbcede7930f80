"""What a head takes: the rows of one space, or parts of those of several, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Block
from cache.errors import UserError
from cache.space import Part, Space
from classify.runs.record import of_space


@dataclass(frozen=True)
class Input:
    """The parts of a space's rows that a head takes, in the order of the row; no parts: the whole row."""

    space: Space
    parts: tuple[str, ...] = ()

    @property
    def columns(self) -> slice | NDArray[np.intp]:
        """Where they are in a row of the space."""
        if not self.parts:
            return slice(None)
        return np.concatenate([np.arange(part.start, part.stop) for part in self._named])

    def widths(self, row: int) -> list[int]:
        """How many numbers each of them has, in a row of so many."""
        return [part.stop - part.start for part in self._named] if self.parts else [row]

    def width(self, row: int) -> int:
        """How many numbers they have together, in a row of so many."""
        return sum(self.widths(row))

    @property
    def _named(self) -> list[Part]:
        return [part for part in self.space.parts if part.name in self.parts]

    def __str__(self) -> str:
        precision = self.space.precision.partition(" ")[0]
        name = self.space.backbone if precision == "float32" else f"{self.space.backbone} in {precision}"
        return f"{name} ({', '.join(self.parts)})" if self.parts else name


def inputs_of(record: Mapping[str, Any]) -> tuple[Input, ...]:
    """Read what the head of a run takes from its run.json; in older ones it is the whole row of the space.

    Raises
    ------
    UserError
        For a space that this version does not know, a part that the space does not have, or one named twice.
    """
    listed = record.get("inputs")
    if listed is None:
        return (Input(Space.from_json(record["space"]["json"])),)
    found = tuple(Input(Space.from_json(each["json"]), tuple(each.get("parts") or ())) for each in listed)
    for each in found:
        known = [part.name for part in each.space.parts]
        if [name for name in known if name in each.parts] != list(each.parts):
            raise _other(
                f"parts among {', '.join(known) or 'none'}, in this order, received {', '.join(each.parts)}"
            )
    if not found or len({each.space.id for each in found}) < len(found):
        raise _other(f"at least one space, and each once, received {len(found)}")
    return found


def to_record(inputs: Sequence[Input]) -> list[dict[str, Any]]:
    """What run.json says of them."""
    return [{**of_space(each.space), "parts": list(each.parts)} for each in inputs]


def of_blocks(blocks: Sequence[Block]) -> tuple[Input, ...]:
    """The inputs of a head that takes these blocks of an `Embedded`, space by space."""
    parts: dict[Space, list[str]] = {}
    for block in blocks:
        parts.setdefault(block.space, []).extend([block.part] if block.part else [])
    return tuple(Input(space, tuple(names)) for space, names in parts.items())


def _other(what: str) -> UserError:
    return UserError(f"Expected {what}, in the inputs that a run.json names. Name another run with --run.")
