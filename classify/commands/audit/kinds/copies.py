"""Copies that contradict one another: of two labels, or in two of the data set's own parts."""

from __future__ import annotations

from collections import Counter

import numpy as np

from cache.manifest import SPLITS
from cache.storage.keys import as_items, unique
from classify.commands.audit.evidence import Evidence
from classify.commands.audit.kinds.issue import Issue


def copy_issues(evidence: Evidence) -> list[Issue]:
    """The pictures of groups of copies that have several labels or lie in several parts, group by group.

    The score is the likeness of the picture to the copy of its that is most alike: 1 for the same bytes. The suggested
    label is that of most of the group, if it is one.
    """
    manifest, group = evidence.data.manifest, evidence.copies.group
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    likeness = _likeness(evidence)
    found = list[list[Issue]]()
    for rows in np.split(order, starts[1:]):
        if len(rows) < 2:
            continue
        labels = Counter(manifest.classes[code] for code in manifest.label[rows].tolist() if code >= 0)
        parts = dict.fromkeys(SPLITS[code] for code in sorted(manifest.split[rows].tolist()) if code)
        if len(labels) < 2 and len(parts) < 2:
            continue
        said = [f"labelled {' and '.join(labels)}"] if len(labels) > 1 else []
        said += [f"in the parts {' and '.join(parts)}"] if len(parts) > 1 else []
        found.append([])
        for row in rows.tolist():
            name = manifest.classes[manifest.label[row]] if manifest.label[row] >= 0 else ""
            other = next(paths for paths in (manifest.paths[o] for o in rows.tolist() if o != row))
            same = "the same picture as" if likeness[row] == 1 else "a near copy of"
            most = labels.most_common(2)
            agreed = len(most) > 1 and most[0][1] > most[1][1] and most[0][0] != name
            why = f"{same} {other}; {len(rows)} copies {' and '.join(said)}"
            found[-1].append(
                Issue("copy", row, name, float(likeness[row]), why, most[0][0] if agreed else "")
            )
    found.sort(key=lambda issues: -max(each.score for each in issues))
    return [each for issues in found for each in sorted(issues, key=lambda each: -each.score)]


def _likeness(evidence: Evidence) -> np.ndarray:
    """Of each picture to the copy of its that is most alike, (n,); 0 for one without."""
    found = np.zeros(len(evidence.label), np.float32)
    for side in evidence.copies.pairs.T:
        np.maximum.at(found, side, np.minimum(evidence.copies.likeness, np.float32(0.999)))
    distinct, first, inverse = unique(as_items(evidence.data.manifest.key))
    found = found[first][inverse]  # pairs name the first of equals alone
    found[np.bincount(inverse, minlength=len(distinct))[inverse] > 1] = 1
    return found
