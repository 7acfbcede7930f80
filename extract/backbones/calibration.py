"""Ranges and means by which a network is quantised: those that ship for the bundled networks, or measured ones."""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

SHIPPED = Path(__file__).with_name("calibration.json")
_DIGITS = 16  # of the hash, in the text of a space


@dataclass(frozen=True)
class Activation:
    """What is known of one tensor of activations."""

    low: float
    high: float
    means: str  # a byte for each channel, from `low` (0) to `high` (255), in base64

    @classmethod
    def of(cls, low: float, high: float, means: np.ndarray) -> "Activation":
        """Round a range and the means of its channels to what is kept."""
        low, high = (float(str(np.float32(end))) for end in (low, high))
        places = np.rint((means - low) / max(high - low, 1e-30) * 255)
        return cls(low, high, base64.b64encode(places.clip(0, 255).astype(np.uint8).tobytes()).decode())

    @cached_property
    def channel_means(self) -> np.ndarray:
        """(channels,) float64."""
        places = np.frombuffer(base64.b64decode(self.means), np.uint8)
        return self.low + places * ((self.high - self.low) / 255)


@dataclass(frozen=True)
class Calibration:
    """How far the activations of one network reach; with the weights it fixes the quantised network."""

    # Of the first convolution's input, then of what each quantised operation gives. The operations of a network have
    # an order of their own; their names are TensorFlow's, and change with its version.
    activations: tuple[Activation, ...]

    @classmethod
    def from_json(cls, activations: Any) -> "Calibration":
        """Read what `to_json` gave.

        Raises
        ------
        ValueError, TypeError
            For anything else.
        """
        return cls(tuple(Activation(float(low), float(high), str(means)) for low, high, means in activations))

    def to_json(self) -> list[list[Any]]:
        """Low, high and means of each."""
        return [[each.low, each.high, each.means] for each in self.activations]

    @cached_property
    def digest(self) -> str:
        """The first digits of the SHA-256 over its JSON."""
        return hashlib.sha256(json.dumps(self.to_json()).encode()).hexdigest()[:_DIGITS]


@cache
def shipped(name: str) -> Calibration | None:
    """The calibration that comes with coldframe for a backbone of this name, on photographs; None if there is none."""
    activations = json.loads(SHIPPED.read_text())["networks"].get(name)
    return Calibration.from_json(activations) if activations else None
