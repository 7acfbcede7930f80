"""What a map came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.text import counted, on_one_line, sized
from classify.commands.map.facts import Facts


@dataclass(frozen=True, eq=False)
class Map:
    """The page, what is on it, and how far it may be believed."""

    file: Path
    dataset: str
    pictures: int
    of: int  # that the data set has
    distinct: int  # of the pictures, by their bytes
    added: int | None  # that came to those of an older map; None where all were laid out together
    method: str | None  # that laid out; None where all lie where they did
    trust: tuple[float, int] | None  # and on how many pictures it was measured
    facts: Facts
    notes: Sequence[str]
    bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """The result as the command line's JSON; sizes in megabytes of 10^6 bytes."""
        value, n = self.trust or (None, 0)
        return {
            "file": str(self.file),
            "dataset": self.dataset,
            "pictures": self.pictures,
            "distinct": self.distinct,
            "added": self.added,
            "method": self.method,
            "trustworthiness": value,
            "trustworthiness_n": n,
            "coloured_by": [fact.name for fact in self.facts.facts],
            "megabytes": round(self.bytes / 1e6, 2),
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """The same for people."""
        lines = [f"{counted(self.pictures, 'picture')} of {on_one_line(self.dataset)}, {self._came}"]
        if self.trust:
            lines.append(
                f"trustworthiness {self.trust[0]:.3f}, n = {self.trust[1]:,} (1: what is nearest on the map is nearest "
                "by embedding; 0.5: chance)"
            )
        lines += self.facts.sources
        return "\n".join([*lines, f"map: {self.file} ({sized(self.bytes)})"])

    @property
    def _came(self) -> str:
        if self.added is None:
            return f"laid out by {self.method}"
        return (
            f"{self.added:,} of them new beside old ones, which stay"
            if self.added
            else "where they were before"
        )
