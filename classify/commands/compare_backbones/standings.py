"""The backbones of a tournament side by side, and which of them wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.frame import COUNT, FLAG, NUMBER, TEXT, frame
from cache.text import align, counted, terminal_width
from classify.metrics.comparison import LEVEL, Comparison, compare
from classify.metrics.intervals import wilson
from classify.report.text import csv_text
from extract.settings import EVERY_STAGE

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "backbone": TEXT,
    "accuracy": NUMBER,
    "ci_low": NUMBER,
    "ci_high": NUMBER,
    "n": COUNT,
    "milliseconds": NUMBER,
    "dim": COUNT,
    "input_size": COUNT,
    "parameters": COUNT,
    "engine": TEXT,
    "precision": TEXT,
    "pooling": TEXT,
}
MARGIN = 0.02  # of the accuracy that may be given away for a cheaper backbone


def label(backbone: str, precision: str, pooling: str = "") -> str:
    """How people tell a backbone from its other forms: "efficientnet_lite0, int8, stages"."""
    forms = [precision] if precision != "float32" else []
    forms += [pooling] if pooling == EVERY_STAGE else []
    return ", ".join([backbone, *forms])


@dataclass(frozen=True, eq=False)
class Entry:
    """A backbone as it did: `answers` (n,) class names, each by a ridge head that had not seen the picture."""

    backbone: str  # as it can be asked for; the space tells two of one name apart
    precision: str  # of the computation
    pooling: str  # of the rows
    space: str
    input_size: int
    dim: int
    parameters: int
    milliseconds: float  # a picture
    engine: str
    answers: np.ndarray

    @property
    def label(self) -> str:
        """As people tell it from the others."""
        return label(self.backbone, self.precision, self.pooling)


@dataclass(frozen=True)
class Standing:
    """One line of the table; `comparison` is that of the leader with it, None for the leader itself."""

    backbone: str
    precision: str
    pooling: str
    space: str
    accuracy: float
    ci_low: float
    ci_high: float
    n: int
    milliseconds: float
    dim: int
    input_size: int
    parameters: int
    engine: str
    comparison: Comparison | None

    @property
    def label(self) -> str:
        """As people tell it from the others."""
        return label(self.backbone, self.precision, self.pooling)

    @property
    def tie(self) -> bool:
        """Whether the paired test does not tell it from the leader."""
        return self.comparison is None or not self.comparison.differs

    @property
    def close(self) -> bool:
        """Whether it ties with the leader and was not seen more than `MARGIN` behind: few pictures show little."""
        return self.comparison is None or (self.tie and self.comparison.difference <= MARGIN + 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Return the line as the command line's JSON."""
        found = self.comparison
        return {name: getattr(self, name) for name in ("space", *COLUMNS)} | {
            "milliseconds": round(self.milliseconds, 3),
            "tie": self.tie,
            "p": found.p if found else None,
            "behind": found.difference if found else 0.0,
        }


def rank(entries: Sequence[Entry], truth: np.ndarray, seed: int) -> list[Standing]:
    """Order backbones by falling accuracy on the n pictures of class names `truth`; of equals the cheaper first."""
    hits = [int((entry.answers == truth).sum()) for entry in entries]
    order = sorted(range(len(entries)), key=lambda i: (-hits[i], entries[i].milliseconds))
    leader = entries[order[0]]
    table = []
    for i in order:
        entry, n = entries[i], len(truth)
        low, high = wilson(hits[i], n)
        comparison = None
        if entry is not leader:
            comparison = compare(leader.label, entry.label, truth, leader.answers, entry.answers, seed=seed)
        facts: dict[str, Any] = vars(entry) | {
            "accuracy": hits[i] / n,
            "ci_low": float(low),
            "ci_high": float(high),
        }
        del facts["answers"]
        table.append(Standing(**facts, n=n, comparison=comparison))
    return table


def elect(table: Sequence[Standing]) -> tuple[Standing, str]:
    """Name the cheapest of the leader and those that are close to it, and say why.

    Close is a backbone that the leader is not shown to be better than, and that is 2 percentage points behind it at
    most. With few pictures the test alone would let a much worse one win.
    """
    leader, tied = table[0], [each for each in table if each.tie]
    close = [each for each in tied if each.close]
    winner = min(close, key=lambda each: each.milliseconds)
    if len(table) == 1:
        return winner, "it was alone"
    if len(tied) == 1:
        return winner, (
            f"the most accurate, and better than each of the others (paired tests, p < {LEVEL:g})"
        )
    points = f"{100 * MARGIN:g} points"
    if len(close) == 1:
        others = ", ".join(each.label for each in tied if each is not winner)
        return winner, f"the most accurate: no difference shown to {others}, but more than {points} ahead"
    cheapest = (
        f"the cheapest ({winner.milliseconds:.1f} ms a picture) of {len(close)} that tie within {points}"
    )
    if winner is leader:
        others = ", ".join(each.label for each in close if each is not winner)
        return winner, f"{cheapest}, and the most accurate: no difference shown to {others}"
    assert winner.comparison is not None
    return winner, (
        f"{cheapest}: no difference shown to {leader.label}, the most accurate "
        f"({100 * winner.comparison.difference:.1f} points ahead, p = {winner.comparison.p:.2f})"
    )


@dataclass(frozen=True)
class Outcome:
    """What a tournament came to, best first."""

    run: Path
    dataset: str
    winner: Standing
    reason: str
    table: list[Standing]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        return {
            "run": str(self.run),
            "dataset": self.dataset,
            "n": self.table[0].n,
            "winner": self.winner.backbone,
            "precision": self.winner.precision,
            "pooling": self.winner.pooling,
            "reason": self.reason,
            "backbones": [each.to_json() for each in self.table],
            "notes": self.notes,
        }

    def to_text(self) -> str:
        """Return the table, who won and why, and where the run is."""
        return f"{self.page(terminal_width())}\nrun: {self.run}"

    def page(self, width: int | None = None) -> str:
        """The table, at most `width` letters a line, with what its columns mean."""
        rows = [
            (
                "backbone",
                "accuracy",
                "95 % interval",
                "against the first",
                "ms a picture",
                "dim",
                "input",
                "parameters",
                "engine",
            )
        ]
        for each in self.table:
            found = each.comparison
            against = "" if found is None else f"{-100 * found.difference:+.1f} points, p = {found.p:.2g}"
            rows.append(
                (
                    each.label,
                    f"{each.accuracy:.1%}",
                    f"{each.ci_low:.1%} - {each.ci_high:.1%}",
                    f"{against}, a tie" if found and each.tie else against,
                    f"{each.milliseconds:.1f}",
                    f"{each.dim:,}",
                    str(each.input_size),
                    f"{each.parameters:,}",
                    each.engine,
                )
            )
        spare = [rows[0].index(name) for name in ("engine", "parameters", "input", "dim", "95 % interval")]
        return (
            f"{align(rows, right=(1, 4, 5, 6, 7), width=width, spare=spare)}\n"
            f"accuracy: ridge, cross-validated on {counted(self.table[0].n, 'training picture')} of {self.dataset}; "
            f"ms: the network alone, on this machine, pictures decoded before\n"
            f"winner: {self.winner.label}, {self.reason}"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the table as a DataFrame, one backbone a row, best first.

        Columns: `backbone`, `precision` and `pooling` (object: text), `accuracy` with its 95 % interval `ci_low`,
        `ci_high` (float64, 0 to 1) over `n` (int64, pictures), `milliseconds` (float64, a picture), `dim` (int64,
        numbers of an embedding), `input_size` (int64, pixels), `parameters` (int64), `engine` (object: text), `p`
        (float64, of the paired test with the first, NaN for itself), `behind` (float64, accuracy of the first less its
        own), `tie` (bool, with the first), `space` (object: id).
        """
        columns = COLUMNS | {"p": NUMBER, "behind": NUMBER, "tie": FLAG, "space": TEXT}
        return frame(columns, [each.to_json() | vars(each) for each in self.table])

    def csv(self) -> str:
        """The table as CSV."""
        return csv_text(self.to_frame()[[*COLUMNS, "p"]])
