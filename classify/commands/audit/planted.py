"""The audit's own test: labels are changed on purpose, in copies of the data, and what it finds is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classify.commands.audit.head import STRENGTHS, out_of_fold
from classify.commands.audit.kinds.labels import judge
from classify.commands.audit.labelled import Labelled
from classify.metrics.intervals import wilson
from classify.report.text import span


@dataclass(frozen=True)
class Planted:
    """What was found of the labels that were changed in `seeds` copies of the data set.

    A label of the user's that was wrong before counts as no error: the precisions are lower bounds.
    """

    share: float
    each: int  # labels that were changed in a copy
    hits: tuple[int, ...]  # of the `each` most suspicious labels of a copy, how many had been changed
    flagged: tuple[int, ...]  # labels of a copy that the audit calls wrong
    found: tuple[int, ...]  # of them, how many had been changed
    strength: float  # C of the regression that answered

    @property
    def at_number(self) -> tuple[float, float, float]:
        """Precision among as many of the most suspicious as were planted, and its interval."""
        return _share(sum(self.hits), self.each * len(self.hits))

    @property
    def precision(self) -> tuple[float, float, float]:
        """Of the labels that the audit calls wrong, and its interval."""
        return _share(sum(self.found), sum(self.flagged))

    @property
    def recall(self) -> tuple[float, float, float]:
        """Of the planted errors, and its interval."""
        return _share(sum(self.found), self.each * len(self.found))

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain Python values; intervals are of 95 %."""
        figures = {"precision_at_number": self.at_number, "precision": self.precision, "recall": self.recall}
        return {
            "share": self.share,
            "planted": self.each,
            "seeds": len(self.hits),
            "flagged": list(self.flagged),
            "by_seed": [hits / self.each for hits in self.hits],
            **{
                name: {"value": value, "ci_low": low, "ci_high": high}
                for name, (value, low, high) in figures.items()
            },
        }

    def sentences(self) -> list[str]:
        """Say the outcome in words."""
        copies = len(self.hits)
        value, low, high = self.at_number
        spread = f"{min(self.hits) / self.each:.0%} to {max(self.hits) / self.each:.0%} by copy"
        precision, recall = self.precision, self.recall
        return [
            f"planted: {self.each:,} wrong labels ({self.share:.1%}) in each of {copies} copies",
            f"of the {self.each:,} most suspicious labels {value:.1%} are planted ones (95 % interval "
            f"{span(low, high)}, n = {self.each * copies:,}; {spread})",
            f"of those it calls wrong {precision[0]:.1%} are (95 % interval {span(*precision[1:])}, "
            f"n = {sum(self.flagged):,}), which are {recall[0]:.1%} of all planted ones ({span(*recall[1:])}, "
            f"n = {self.each * copies:,}); labels that were wrong before count as right, so both precisions are lower "
            "bounds",
        ]


def plant(
    data: Labelled,
    *,
    share: float,
    seeds: int,
    seed: int,
    step: Callable[[int], None] = lambda done: None,
) -> Planted | None:
    """Change labels in copies of the data and count what the audit finds; None where there is nothing to judge.

    Parameters
    ----------
    data : Labelled
    share : float
        Of the labels that can be judged.
    seeds, seed : int
        So many copies, whose numbers begin with `seed`.
    """
    rows = np.flatnonzero(data.learnable)
    names = np.unique(data.label[rows])
    number = round(share * len(rows))
    if len(names) < 2 or not number:
        return None
    hits, flagged, found = [], [], []
    strengths: Sequence[float] = STRENGTHS
    for copy in range(seed, seed + seeds):
        changed, wrong = altered(data.label, rows, names, number, copy)
        answers = out_of_fold(data.with_labels(changed), strengths=strengths, seed=copy)
        strengths = (answers.strength,)  # the first copy's choice is good for all
        judgement = judge(changed, answers.probability, data.voters)
        hits.append(int(wrong[judgement.ranked[:number]].sum()))
        flagged.append(len(judgement.flagged))
        found.append(int(wrong[judgement.flagged].sum()))
        step(copy - seed + 1)
    return Planted(share, number, tuple(hits), tuple(flagged), tuple(found), strengths[0])


def altered(
    label: NDArray[np.integer],
    rows: NDArray[np.intp],
    names: NDArray[np.integer],
    number: int,
    seed: int,
) -> tuple[NDArray[np.integer], NDArray[np.bool_]]:
    """Give `number` of some rows another of the labels `names` each, by chance: labels (n,), and which changed (n,)."""
    chance = np.random.default_rng(seed)
    chosen = chance.choice(rows, number, replace=False)
    changed, wrong = label.copy(), np.zeros(len(label), bool)
    place = np.searchsorted(names, label[chosen])
    changed[chosen] = names[(place + chance.integers(1, len(names), number)) % len(names)]
    wrong[chosen] = True
    return changed, wrong


def _share(hits: int, n: int) -> tuple[float, float, float]:
    low, high = wilson(hits, n)
    return (hits / n if n else 0.0), float(low), float(high)
