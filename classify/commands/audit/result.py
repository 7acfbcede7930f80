"""What an audit found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.dataset import Embedded
from cache.text import align, counted, terminal_width
from classify.commands.audit.kinds.issue import KINDS, Issue, to_frame
from classify.commands.audit.mending import Worth
from classify.commands.audit.planted import Planted

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 5  # issues of a kind that the terminal shows


@dataclass(frozen=True)
class Audited:
    """The issues of n pictures, kind by kind and the worst of each first."""

    run: Path
    data: Embedded
    answered_by: str  # whose answers judged the labels; empty where none was judged
    issues: list[Issue]
    judged: int  # labels
    errors: float  # how many of them are wrong, as estimated
    nearest: np.ndarray  # (n, k) rows of the neighbours that are no copies, -1 for none
    planted: Planted | None
    worth: Worth | None
    notes: list[str]

    def of(self, kind: str) -> list[Issue]:
        """The issues of a kind."""
        return [each for each in self.issues if each.kind == kind]

    def place(self, issue: Issue) -> str:
        """What the issue is about: the path of a picture, or the name of a class."""
        return self.data.manifest.paths[issue.row] if issue.row >= 0 else issue.label

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        return {
            "run": str(self.run),
            "dataset": self.data.name,
            "pictures": len(self.data.manifest),
            "answered_by": self.answered_by,
            "labels_judged": self.judged,
            "errors_estimated": round(self.errors, 1),
            "issues": {kind: len(self.of(kind)) for kind in KINDS},
            "planted": self.planted.to_json() if self.planted else None,
            "mending": self.worth.to_json() if self.worth else None,
            "notes": self.notes,
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the issues as a DataFrame; see `kinds.issue.to_frame`."""
        return to_frame(self.issues, self.data, self.nearest)

    def sentences(self) -> list[str]:
        """What the audit's own test came to."""
        return [
            *(self.planted.sentences() if self.planted else ()),
            *(self.worth.sentences() if self.worth else ()),
        ]

    def to_text(self) -> str:
        """Return the issues, the worst of each kind, and where the run is."""
        lines = [f"{counted(len(self.data.manifest), 'picture')} of {self.data.name}"]
        if self.answered_by:
            lines.append(
                f"labels judged by {self.answered_by}: about {self.errors:.0f} of {self.judged:,} are wrong"
            )
        for kind, name in KINDS.items():
            found = self.of(kind)
            lines += ["", f"{name}: {len(found):,}" if found else f"{name}: none"]
            rows = [[self.place(each), each.label, each.suggested, each.why] for each in found[:SHOWN]]
            if kind == "class":
                rows = [[place, why] for place, _, _, why in rows]
            elif not any(each.suggested for each in found[:SHOWN]):
                rows = [[place, label, why] for place, label, _, why in rows]
            lines += (
                ["  " + line for line in align(rows, width=terminal_width()).splitlines()] if rows else []
            )
        own = self.sentences()
        lines += ["", *own] if own else []
        return "\n".join([*lines, "", f"run: {self.run} (start with report.html)"])
