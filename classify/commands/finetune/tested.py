"""The one reading of the test part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classify.commands.finetune.final_model import FinalModel
from classify.commands.finetune.session import Session
from classify.commands.finetune.start.start import Start
from classify.data.splits import TEST
from classify.metrics.evaluation import Evaluation, evaluate
from classify.models.probabilities import answer


@dataclass(frozen=True, eq=False)
class Answered:
    """What a classifier says of n pictures: `probability` (n, C) of `classes` (C,)."""

    probability: np.ndarray
    classes: np.ndarray

    @property
    def names(self) -> np.ndarray:
        """The class of each, (n,)."""
        return self.classes[self.probability.argmax(axis=1)]

    @property
    def certainty(self) -> np.ndarray:
        """Probability of that class, (n,)."""
        return self.probability.max(axis=1)

    def evaluate(self, truth: np.ndarray) -> Evaluation:
        """Hold it against the class names (n,)."""
        return evaluate(truth, self.names, self.probability, self.classes)


@dataclass(frozen=True, eq=False)
class Tested:
    """What the head and the chosen model say of the n pictures, of m in the test part, that can be read again."""

    there: np.ndarray  # (m,) bool: which
    rows: np.ndarray  # (n,) of the manifest
    truth: np.ndarray  # (n,) class names
    before: Answered
    after: Answered

    @property
    def lost(self) -> int:
        """Pictures that cannot be read again."""
        return int((~self.there).sum())


def read_test(session: Session, start: Start, final: FinalModel | None) -> Tested:
    """Ask the head its rows, and the final model the pictures; None where the head is kept and answers for both."""
    division, head = start.division, start.loaded.head
    rows = np.flatnonzero(division.split.part == TEST)
    before = head.predict_proba(division.X_test)
    after = before
    if final:
        count = len(start.linear.classes)
        after = answer(final.model, start.data.manifest, rows, final.asked, count, session.say)
    there = np.isfinite(after[:, 0])
    said = [Answered(each[there], head.classes_) for each in (before, after)]
    return Tested(there, rows[there], division.truth[there], *said)
