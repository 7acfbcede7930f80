"""Odd ones out: pictures farther from their neighbours than the others are, of all or of their class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from classify.commands.audit.evidence import Evidence
from classify.commands.audit.kinds.issue import Issue

NEAR = 10  # neighbours whose mean distance counts
LEAST = 3.5  # robust standard deviations above the median
ENOUGH = 20  # pictures of a class that has a median of its own


def distances(evidence: Evidence) -> NDArray[np.float64]:
    """Mean distance of each picture to its `NEAR` nearest, (n,): of directions, sqrt(2 - 2 cosine); NaN without any."""
    similarity = evidence.others.similarity[:, :NEAR].astype(np.float64)
    known = np.isfinite(similarity)
    apart = np.sqrt(np.maximum(2 - 2 * np.where(known, similarity, 1), 0))
    count = known.sum(axis=1)
    return np.where(count > 0, apart.sum(axis=1) / np.maximum(count, 1), np.nan)


def robust_score(distance: NDArray[np.floating]) -> NDArray[np.float64]:
    """How many robust standard deviations each is above the median: (n,).

    (x - median) / (1.4826 MAD), of which Iglewicz and Hoaglin 1993 ("How to Detect and Handle Outliers", ASQC, page 11)
    call 3.5 an outlier.
    """
    known = np.isfinite(distance)
    if not known.any():
        return np.zeros(len(distance))
    median = np.median(distance[known])
    spread = 1.4826 * np.median(np.abs(distance[known] - median))
    return np.where(known, (distance - median) / max(spread, 1e-9), 0.0)


def outlier_issues(evidence: Evidence) -> list[Issue]:
    """The pictures that are unlike all others, or unlike those of their class, the oddest first."""
    distance, label = distances(evidence), evidence.label
    overall, within = robust_score(distance), np.zeros(len(label))
    for code in range(len(evidence.data.manifest.classes)):
        mine = np.flatnonzero(label == code)
        if len(mine) >= ENOUGH:
            within[mine] = robust_score(distance[mine])
    score = np.maximum(overall, within)
    rows = np.flatnonzero(score > LEAST)
    names, found = evidence.data.manifest.classes, []
    for row in rows[np.argsort(-score[rows], kind="stable")].tolist():
        name = names[label[row]] if label[row] >= 0 else ""
        of = "of all pictures" if overall[row] >= within[row] else f"of {name}"
        why = (
            f"{distance[row]:.2f} from its {NEAR} nearest on average, {score[row]:.1f} robust standard deviations "
            f"above the median {of}"
        )
        found.append(Issue("outlier", row, name, float(score[row]), why))
    return found
