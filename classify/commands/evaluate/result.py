"""What an evaluation came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.frame import FLAG, NUMBER, TEXT, frame
from cache.storage.rejects import Reject
from classify.limits.checked import Checked
from classify.metrics.evaluation import Evaluation

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Evaluated:
    """The run's answers to n labelled pictures, and its figures with and without copies of training pictures."""

    run: Path  # of this evaluation
    answered_by: Path
    dataset: str
    paths: list[str]  # n
    truth: np.ndarray  # (n,) class names
    predicted: np.ndarray  # (n,) class names
    probability: np.ndarray  # (n,) of the predicted class
    copy: np.ndarray  # (n,) bool: the run was trained on a copy
    evaluation: Evaluation  # of all
    without: Evaluation | None  # of those that are no copies; None where there is none, or no other
    limits: Checked | None  # those of the run, on what is no copy; None where it has none, or all are copies
    said: str  # which run answered
    rejects: list[Reject]
    notes: list[str]

    @property
    def closing(self) -> list[str]:
        """Which run answered."""
        return [self.said]

    @property
    def copies(self) -> list[str]:
        """Paths of the copies."""
        return [path for path, copy in zip(self.paths, self.copy.tolist(), strict=True) if copy]

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        return {
            "run": str(self.run),
            "answered_by": str(self.answered_by),
            "dataset": self.dataset,
            **_figures(self.evaluation),
            "copies": self.copies,
            "limits": _limits(self.limits) if self.limits else None,
            "without_copies": _figures(self.without) if self.without else None,
            "rejects": [reject.to_json() for reject in self.rejects],
            "notes": self.notes,
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the pictures as a DataFrame, one a row.

        Columns: `path`, `label`, `predicted` (object: texts), `probability` (float64, 0 to 1), `copy` (bool: the run
        was trained on a copy).
        """
        columns = {"path": TEXT, "label": TEXT, "predicted": TEXT, "probability": NUMBER, "copy": FLAG}
        rows = (each.tolist() for each in (self.truth, self.predicted, self.probability.round(6), self.copy))
        return frame(
            columns, [dict(zip(columns, row, strict=True)) for row in zip(self.paths, *rows, strict=True)]
        )

    def to_text(self) -> str:
        """Return the figures and where the run is."""
        sets = [("all", self.evaluation), *([("without copies", self.without)] if self.without else [])]
        lines = [f"{'':16}{'accuracy':>9}  {'95 % interval':16}{'n':>6}{'macro-F1':>10}{'log-loss':>10}"]
        for name, e in sets:
            interval = f"{e.ci_low:.1%} - {e.ci_high:.1%}"
            figures = f"{e.accuracy:>9.1%}  {interval:16}{e.n:>6,}{e.macro_f1:>10.3f}{e.log_loss:>10.3f}"
            lines.append(f"{name:16}{figures}")
        return "\n".join([*lines, f"run: {self.run} (start with report.html)"])


def _limits(found: Checked) -> dict[str, Any]:
    return {
        name: value for name, value in found.to_json().items() if name != "classes"
    }  # report.md has those


def _figures(e: Evaluation) -> dict[str, Any]:
    return {
        "test_accuracy": e.accuracy,
        "test_n": e.n,
        "ci_low": e.ci_low,
        "ci_high": e.ci_high,
        "macro_f1": e.macro_f1,
        "log_loss": e.log_loss,
    }
