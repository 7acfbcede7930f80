"""What `fit-head` came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.text import terminal_width
from classify.commands.fit_head.leaderboard import HeadResult, leaderboard, to_frame
from classify.metrics.frontier import Frontier
from classify.report.frontier import frontier_text
from extract.pictures.policies import Views

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FitResult:
    """The outcome: heads by falling CV accuracy; `interrupted` when Ctrl-C ended it early."""

    run: Path
    best: str
    simplest: str  # the simplest head within one standard error of the best
    heads: list[HeadResult]
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    views: Views = field(default_factory=Views)
    closing: list[str] = field(default_factory=list)  # what `predict` answers with now
    networks: Frontier | None = None  # the sets that were tried, where there are several networks

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        return {
            "run": str(self.run),
            "best": self.best,
            "simplest": self.simplest,
            "heads": [result.to_json() for result in self.heads],
            "views": self.views.number,
            "augment": self.views.augment,
            "networks": self.networks.to_json() if self.networks else None,
            "notes": self.notes,
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the heads as a DataFrame; see `classify.commands.fit_head.leaderboard.to_frame`."""
        return to_frame(self.heads)

    def to_text(self) -> str:
        """Return the sets of networks, the leaderboard and where the run is."""
        width = terminal_width()
        before = f"{frontier_text(self.networks, width)}\n\n" if self.networks else ""
        return f"{before}{leaderboard(self.heads, width)}\nbest: {self.best}, in {self.run} (start with report.html)"
