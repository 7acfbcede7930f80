"""The ranges by which a network is quantised: those that ship for the bundled networks, or measured ones."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).with_name("calibration.json")
_DIGITS = 16  # of the hash, in the text of a space


@dataclass(frozen=True)
class Calibration:
    """How far the activations of one network reach; with the weights it fixes the quantised network."""

    # Minimum, maximum and channels: of the first convolution's input, then of each quantised operation's output. The
    # operations of a network have an order of their own; their names are TensorFlow's, and change with its version.
    ranges: tuple[tuple[float, float, int], ...]

    @classmethod
    def from_json(cls, ranges: Any) -> "Calibration":
        """Read what `to_json` gave.

        Raises
        ------
        ValueError, TypeError
            For anything else.
        """
        return cls(tuple((float(low), float(high), int(channels)) for low, high, channels in ranges))

    def to_json(self) -> list[list[float]]:
        """The ranges as lists."""
        return [list(each) for each in self.ranges]

    @cached_property
    def digest(self) -> str:
        """The first digits of the SHA-256 over the ranges' JSON."""
        return hashlib.sha256(json.dumps(self.to_json()).encode()).hexdigest()[:_DIGITS]


@cache
def shipped(name: str) -> Calibration | None:
    """The ranges that come with coldframe for a backbone of this name, on photographs; None if there are none."""
    ranges = json.loads(SHIPPED.read_text())["ranges"].get(name)
    return Calibration.from_json(ranges) if ranges else None
