"""Wrong labels: confident learning says how many there are, answers and neighbours' votes say which.

Axes: n pictures, C classes, k neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cache.text import shortened
from classify.commands.audit.evidence import Evidence
from classify.commands.audit.kinds.issue import NAME, Issue

# Why these: docs/decisions/0032-audit.md.
VOTERS = 15  # nearest pictures that vote; near copies do not
FEWEST = 5  # pictures of a class whose labels are judged
_CELLS = 2**22  # of (rows, C) looked at together


@dataclass(frozen=True, eq=False)
class Judgement:
    """What is to be said of n labels."""

    suspicion: NDArray[
        np.float32
    ]  # (n,) 1 less the fused probability of the label; NaN where it is not judged
    own: NDArray[np.float32]  # (n,) what the head gives the label
    suggested: NDArray[np.int32]  # (n,) the most probable class, fused; -1 where the label is not judged
    votes: NDArray[np.int32]  # (n,) neighbours for it
    voters: NDArray[np.int32]  # (n,) neighbours that voted
    errors: float  # how many labels are wrong, as confident learning estimates
    flagged: NDArray[np.intp]  # rows whose label is probably wrong, the worst first

    @property
    def ranked(self) -> NDArray[np.intp]:
        """All rows that were judged, the most suspicious first."""
        judged = np.flatnonzero(np.isfinite(self.suspicion))
        return judged[np.argsort(-self.suspicion[judged], kind="stable")]


def judge(
    label: NDArray[np.integer], probability: NDArray[np.floating], voters: NDArray[np.integer]
) -> Judgement:
    """Judge labels by answers of models that had not trained on them.

    The number of wrong ones is that of the confident joint (Northcutt, Jiang and Chuang 2021, J. Artif. Intell. Res.
    70:1373-1411, equations 1 and 2): a picture counts for the most probable of the classes that it reaches the mean
    probability of. Which they are is told by p(label) times the share of the neighbours, (votes + 1) / (voters + C),
    scaled to sum to 1 over the classes. Labels of classes with fewer than `FEWEST` pictures are not judged.

    Parameters
    ----------
    label : (n,) int, -1 for none
    probability : (n, C) float, out of sample and calibrated; a row of NaN is not judged
    voters : (n, k) int
        Rows of the most similar pictures, the nearest first; -1 for none.
    """
    n, classes = probability.shape
    judged = (label >= 0) & np.isfinite(probability[:, :1]).all(axis=1)
    counts = np.bincount(label[judged], minlength=classes)
    judged[judged] = counts[label[judged]] >= FEWEST
    rows = np.flatnonzero(judged)
    counts = np.bincount(label[rows], minlength=classes)
    sums = np.bincount(label[rows], probability[rows, label[rows]], classes)
    least = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)

    own, fused = np.full(n, np.nan, np.float32), np.full(n, np.nan, np.float32)
    confident, suggested = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    votes, voted = np.zeros(n, np.int32), np.zeros(n, np.int32)
    block = max(1, _CELLS // classes)
    for start in range(0, len(rows), block):
        some = rows[start : start + block]
        p, at, mine = probability[some].astype(np.float64), np.arange(len(some)), label[some]
        own[some] = p[at, mine]
        reached = np.where(p >= least, p, -1)
        confident[some] = np.where(reached.max(axis=1) >= 0, reached.argmax(axis=1), -1)
        cast = _votes(label, voters[some], classes)
        voted[some] = cast.sum(axis=1)
        p *= (cast + 1) / (voted[some] + classes)[:, None]
        suggested[some] = p.argmax(axis=1)
        votes[some] = cast[at, suggested[some]]
        fused[some] = p[at, mine] / np.maximum(p.sum(axis=1), 1e-30)
    suspicion = 1 - fused
    errors = _errors(label[rows], confident[rows], counts)
    order = rows[np.argsort(-suspicion[rows], kind="stable")]
    flagged = order[: round(errors)]
    return Judgement(
        suspicion, own, suggested, votes, voted, errors, flagged[suggested[flagged] != label[flagged]]
    )


def _votes(label: NDArray[np.integer], voters: NDArray[np.integer], classes: int) -> NDArray[np.int32]:
    """Count the labels of the voters (m, k): (m, C)."""
    cast = np.zeros((len(voters), classes), np.int32)
    row, place = np.nonzero(voters >= 0)
    of = label[voters[row, place]]
    known = of >= 0
    np.add.at(cast, (row[known], of[known]), 1)
    return cast


def _errors(label: NDArray[np.integer], confident: NDArray[np.integer], counts: NDArray[np.integer]) -> float:
    """Sum what is off the diagonal of the confident joint, each class brought to the number of its pictures."""
    known = confident >= 0
    seen = np.bincount(label[known], minlength=len(counts))
    right = np.bincount(label[known & (confident == label)], minlength=len(counts))
    return float((counts * (1 - right / np.maximum(seen, 1)))[seen > 0].sum())


def label_issues(evidence: Evidence, judgement: Judgement) -> list[Issue]:
    """The labels that are probably wrong, the worst first."""
    names = evidence.data.manifest.classes
    found = []
    for row in judgement.flagged.tolist():
        label, suggested = evidence.label[row], int(judgement.suggested[row])
        short, other = shortened(names[label], NAME), shortened(names[suggested], NAME)
        votes, voted = judgement.votes[row], judgement.voters[row]
        rival = float(evidence.probability[row, suggested])
        why = f"{judgement.own[row]:.1%} {short}, {rival:.1%} {other}; {votes} of the {voted} nearest are {other}"
        found.append(
            Issue("label", row, names[label], float(judgement.suspicion[row]), why, names[suggested])
        )
    return found
