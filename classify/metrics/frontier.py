"""Sets of networks: accuracy with interval against milliseconds a picture, the best set, and the cheapest near it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from classify.metrics.intervals import wilson


@dataclass(frozen=True)
class Tried:
    """One set of networks, as a head on their rows did in cross-validation."""

    networks: tuple[str, ...]
    spaces: tuple[str, ...]  # their ids
    width: int  # columns that the head used
    parts: str  # which, as "top" or "all"
    hits: int  # right answers of n, each of a model that had not seen the picture
    n: int
    error: float  # standard error of the accuracy over the folds
    milliseconds: (
        float | None
    )  # a picture, of all networks together; None where one of them could not be measured

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.hits / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, for 95 %."""
        low, high = wilson(self.hits, self.n)
        return float(low), float(high)

    @property
    def cost(self) -> tuple[float, int, int]:
        """Orders sets from cheap to dear: by time; those of unknown time come last, by what they compute."""
        return math.inf if self.milliseconds is None else self.milliseconds, len(self.networks), self.width

    def to_json(self) -> dict[str, Any]:
        """Return the set as the command line's JSON."""
        low, high = self.interval
        return {
            "networks": list(self.networks),
            "spaces": list(self.spaces),
            "parts": self.parts,
            "width": self.width,
            "cv_accuracy": self.accuracy,
            "ci_low": low,
            "ci_high": high,
            "n": self.n,
            "standard_error": self.error,
            "milliseconds": self.milliseconds,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Tried:
        """Read what `to_json` returned."""
        return cls(
            networks=tuple(content["networks"]),
            spaces=tuple(content["spaces"]),
            width=content["width"],
            parts=content["parts"],
            hits=round(content["cv_accuracy"] * content["n"]),
            n=content["n"],
            error=content["standard_error"],
            milliseconds=content["milliseconds"],
        )


@dataclass(frozen=True)
class Frontier:
    """All sets that were tried, in the order of the search: single networks first."""

    tried: Sequence[Tried]

    @property
    def best(self) -> Tried:
        """The most accurate; of equals the cheapest."""
        return min(self.tried, key=lambda each: (-each.hits, each.cost))

    @property
    def cheapest(self) -> Tried:
        """The cheapest within one standard error of the best (Breiman et al. 1984, section 3.4.3)."""
        near = [each for each in self.tried if each.accuracy >= self.best.accuracy - self.best.error]
        return min(near, key=lambda each: each.cost)

    @property
    def edge(self) -> list[Tried]:
        """Those that no cheaper set reaches in accuracy, from cheap to dear."""
        found = list[Tried]()
        for each in sorted(self.tried, key=lambda each: (each.cost, -each.hits)):
            if not found or each.hits > found[-1].hits:
                found.append(each)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the sets as the command line's JSON."""
        return {
            "sets": [each.to_json() for each in self.tried],
            "best": list(self.best.networks),
            "cheapest": list(self.cheapest.networks),
        }
