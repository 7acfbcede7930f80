"""Classes to look at: too small, much smaller than others, or told apart by brightness alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from cache.text import counted
from classify.commands.audit.evidence import Evidence
from classify.commands.audit.kinds.issue import Issue
from classify.metrics.intervals import Z95

SMALL = 20  # distinct pictures, fewer of which say little
UNEVEN = 10  # times as many pictures as another class
BRIGHT = 0.9  # AUROC of mean brightness from which on it may be all that a head learns


def class_issues(evidence: Evidence) -> list[Issue]:
    """What is to be said of classes, the worst first; the score is 0 to 1."""
    label, names = evidence.label, evidence.data.manifest.classes
    _, first = np.unique(evidence.copies.group, return_index=True)  # copies count once
    counts = np.bincount(label[first][label[first] >= 0], minlength=len(names))
    largest, found = int(counts.argmax()), []
    for code, name in enumerate(names):
        count = int(counts[code])
        if count < SMALL:
            why = f"{counted(count, 'distinct picture')}: fewer than {SMALL} say little about the class"
            found.append(Issue("class", -1, name, 1 - count / SMALL, why))
        elif counts[largest] > UNEVEN * count:
            ratio = counts[largest] / count
            why = f"{counted(count, 'distinct picture')}, {names[largest]} has {ratio:.0f} times as many"
            found.append(Issue("class", -1, name, 1 - 1 / ratio, why))
    found += _told_by_brightness(label, names, evidence.facts.brightness)
    return sorted(found, key=lambda each: -each.score)


def _told_by_brightness(
    label: NDArray[np.integer], names: tuple[str, ...], brightness: NDArray[np.floating]
) -> list[Issue]:
    known = np.isfinite(brightness) & (label >= 0)
    label, brightness = label[known], brightness[known]
    rank = rankdata(brightness)
    found = []
    for code, name in enumerate(names):
        mine = label == code
        n, rest = int(mine.sum()), int((~mine).sum())
        if n < SMALL or rest < SMALL:
            continue
        above = float((rank[mine].sum() - n * (n + 1) / 2) / (n * rest))
        area, low = _lower_end(max(above, 1 - above), n, rest)
        if low > BRIGHT:
            which = "brighter" if above > 0.5 else "darker"
            why = (
                f"{which} than the others: mean brightness alone tells it apart with AUROC {area:.2f} (95 % interval "
                f"from {low:.2f}, n = {n})"
            )
            found.append(Issue("class", -1, name, area, why))
    return found


def _lower_end(area: float, n: int, rest: int) -> tuple[float, float]:
    """The area and the lower end of its 95 % interval: Hanley and McNeil 1982, Radiology 143:29-36, equation 2."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (n - 1) * (q1 - area**2) + (rest - 1) * (q2 - area**2)) / (n * rest)
    return area, area - Z95 * float(np.sqrt(max(variance, 0)))
