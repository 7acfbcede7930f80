"""What `export` wrote, and how it was found to answer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cache.text import counted, sized


@dataclass(frozen=True)
class Quantised:
    """Accuracy before and after the step to 8-bit integers, on `n` pictures of part `part`."""

    before: float
    after: float
    n: int
    part: str
    calibrated_on: int  # training pictures that showed the range of each activation


@dataclass(frozen=True)
class ExportResult:
    """What was written, and how it was found to answer."""

    file: Path
    kind: str
    takes: str
    bytes: int
    milliseconds: float  # for one picture, or embedding; `measured` says how
    measured: str
    max_difference: float  # of a probability, from the run's own
    tolerance: float | None  # None: 8-bit integers, which are judged by accuracy
    n: int  # pictures compared
    part: str  # what they are to the run
    agreement: float  # share of them with the same answer
    int8: Quantised | None = None
    caveats: list[str] = field(default_factory=list)  # in the text, so that they are told with the figures

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        facts = asdict(self) | {"file": str(self.file)}
        return facts | {"notes": facts.pop("caveats")}

    def to_text(self) -> str:
        """Return what a person wants to know."""
        lines = [
            f"{self.file}: {sized(self.bytes)}, takes {self.takes}",
            f"{self.milliseconds:.1f} ms: {self.measured}",
            f"compared with the run on {counted(self.n, 'picture')} ({self.part}): "
            f"same answer on {self.agreement:.1%}, "
            f"probabilities differ by {self.max_difference:.1e} at most",
        ]
        if self.int8:
            lines.append(
                f"8-bit integers: accuracy {self.int8.before:.1%} before, {self.int8.after:.1%} after "
                f"(n = {self.int8.n}, {self.int8.part}), "
                f"calibrated on {counted(self.int8.calibrated_on, 'training picture')}"
            )
        return "\n".join([*lines, *(f"note: {note}" for note in self.caveats)])
