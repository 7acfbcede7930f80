"""What a network from scratch came to, and how far it is below the best head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cache.workspace import Workspace
from classify.commands.baseline.options import Settings
from classify.data.division import Division
from classify.metrics.comparison import Comparison, compare
from classify.metrics.evaluation import Evaluation
from classify.runs.predictions import table_of
from classify.runs.record import record_of
from classify.training.history import History
from extract.settings import Decoding

NAME = "baseline"


@dataclass(frozen=True, eq=False)
class Setup:
    """What is learnt, and from which pictures."""

    settings: Settings
    division: Division
    decoding: Decoding
    classes: tuple[str, ...]  # C
    fit: np.ndarray  # (f,) rows of the manifest that train
    val: np.ndarray  # (v,) rows of the manifest that validate


@dataclass(frozen=True, eq=False)
class Tested:
    """What the network says of the m test pictures that could be read, and of those that validated."""

    rows: np.ndarray  # (m,) of the manifest
    predicted: np.ndarray  # (m,) class names
    probability: np.ndarray  # (m, C)
    validated: np.ndarray  # (v, C) probabilities of the rows `Setup.val`


@dataclass(frozen=True)
class Outcome:
    """The result; `comparison` is that of the best head with the baseline, None where no head was fitted."""

    run: Path
    history: History
    evaluation: Evaluation
    parameters: int
    seconds: float
    comparison: Comparison | None
    notes: list[str]
    interrupted: bool = False

    @property
    def val_accuracy(self) -> float:
        """Of the epoch whose weights were kept."""
        return next(e.val_accuracy for e in self.history.epochs if e.number == self.history.best)

    @property
    def seconds_per_epoch(self) -> float:
        """Mean over the epochs, validation included."""
        trained = self.history.epochs[1:]
        return sum(epoch.seconds for epoch in trained) / len(trained)

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command line's JSON."""
        return {
            "run": str(self.run),
            "val_accuracy": self.val_accuracy,
            "val_n": self.history.val_n,
            "test_accuracy": self.evaluation.accuracy,
            "test_n": self.evaluation.n,
            "ci_low": self.evaluation.ci_low,
            "ci_high": self.evaluation.ci_high,
            "epochs": len(self.history.epochs) - 1,
            "best_epoch": self.history.best,
            "seconds": round(self.seconds, 3),
            "seconds_per_epoch": round(self.seconds_per_epoch, 3),
            "parameters": self.parameters,
            "comparison": self.comparison.to_json() if self.comparison else None,
            "notes": self.notes,
        }

    def to_text(self) -> str:
        """Return the figures, what transfer gains, and where the run is."""
        e, history = self.evaluation, self.history
        lines = [
            f"test accuracy {e.accuracy:.1%}, 95 % interval {e.ci_low:.1%} to {e.ci_high:.1%} (n = {e.n:,})",
            f"validation accuracy {self.val_accuracy:.1%} (n = {history.val_n:,}) after epoch {history.best} of "
            f"{len(history.epochs) - 1}, {self.seconds_per_epoch:.1f} s an epoch, {self.parameters:,} parameters",
            self.gain(),
        ]
        return "\n".join([*lines, f"run: {self.run} (start with report.html)"])

    def gain(self) -> str:
        """Say what transfer gains."""
        if self.comparison is None:
            return "no head was fitted on the same data and split: run `fit-head` to see what transfer gains"
        above = 100 * self.comparison.difference
        how = f"{above:.1f} points above" if above >= 0 else f"{-above:.1f} points below"
        return f"the best head is {how} the baseline: {self.comparison.sentence()}"


def known_answers(workspace: Workspace, data_sha256: str) -> list[tuple[str, dict[str, str]]]:
    """Read what heads said on the test part of the very same pictures, labels and parts.

    Parameters
    ----------
    workspace : Workspace
    data_sha256 : str
        Of the division.

    Returns
    -------
    answers : list of (head, {path: class name})
        By falling cross-validated accuracy.

    Raises
    ------
    UserError
        When the answers of a run are not those it wrote.
    """
    found = [(record_of(folder), folder) for folder in sorted(workspace.runs.glob("*-fit-head"))]
    same = [(record, folder) for record, folder in found if record.get("data_sha256") == data_sha256]
    answers = list[tuple[str, dict[str, str]]]()
    for record, folder in sorted(same, key=lambda each: -each[0]["head"]["cv_accuracy"]):
        listed = table_of(folder, record, "predictions.csv")
        if listed is not None:
            said = dict(zip(listed["path"], listed["predicted"], strict=True))
            answers.append((f"{record['head']['name']} of {folder.name}", said))
    return answers


def against_best_head(
    known: list[tuple[str, dict[str, str]]],
    paths: list[str],
    truth: np.ndarray,
    predicted: np.ndarray,
    seed: int,
) -> Comparison | None:
    """Compare with the best head that answered for these pictures.

    Parameters
    ----------
    known : list of (head, {path: class name})
        The best first.
    paths : list of str
        The n tested pictures, as in the manifest.
    truth, predicted : (n,) class names
    seed : int
        Of the bootstrap.

    Returns
    -------
    Comparison or None
        The head comes first. None where there is none.
    """
    for name, said in known:
        rows = [row for row, path in enumerate(paths) if path in said]
        if rows:
            head = np.array([said[paths[row]] for row in rows])
            return compare(name, NAME, truth[rows], head, predicted[rows], seed=seed)
    return None
