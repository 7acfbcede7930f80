"""An issue, and the table of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache.dataset import Embedded
from cache.frame import COUNT, NUMBER, TEXT, frame

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# In the order in which they are told.
KINDS = {
    "label": "wrong labels",
    "copy": "copies across parts or labels",
    "outlier": "odd ones out",
    "pixels": "dark, bright, blurred, plain or oddly sized",
    "class": "classes to look at",
}
NAME = 40  # letters of a class's name in a sentence
NEAREST = 5  # neighbours that a row of the table names


@dataclass(frozen=True)
class Issue:
    """Something that a person should look at."""

    kind: str  # of KINDS
    row: int  # of the manifest; -1 for a class
    label: str  # name of the class, empty for none
    score: float  # the higher the worse; comparable within a kind
    why: str
    suggested: str = ""  # name of the class that the picture seems to belong to


def to_frame(issues: Sequence[Issue], data: Embedded, nearest: np.ndarray) -> pd.DataFrame:
    """Return the issues as a DataFrame, one a row, kind by kind and the worst of each first.

    Columns: `path`, `key` (64 hex digits), `label`, `kind` (object: texts), `score` (float64, the higher the worse
    within a kind), `rank` (int64, from 1 in each kind), `suggested_label`, `why`, `nearest_1` to `nearest_5` (object:
    texts, the paths of the most similar pictures that are no copies). An issue of a class has neither path nor key.
    """
    columns = {
        **dict.fromkeys(("path", "key", "label", "kind"), TEXT),
        "score": NUMBER,
        "rank": COUNT,
        **dict.fromkeys(("suggested_label", "why", *(f"nearest_{i + 1}" for i in range(NEAREST))), TEXT),
    }
    records, seen = [], dict[str, int]()
    manifest = data.manifest
    for each in issues:
        seen[each.kind] = seen.get(each.kind, 0) + 1
        near = [row for row in nearest[each.row].tolist() if row >= 0] if each.row >= 0 else []
        paths = [manifest.paths[row] for row in near[:NEAREST]]
        records.append(
            {
                "path": manifest.paths[each.row] if each.row >= 0 else "",
                "key": manifest.key[each.row].tobytes().hex() if each.row >= 0 else "",
                "label": each.label,
                "kind": each.kind,
                "score": round(each.score, 6),
                "rank": seen[each.kind],
                "suggested_label": each.suggested,
                "why": each.why,
                **{f"nearest_{i + 1}": paths[i] if i < len(paths) else "" for i in range(NEAREST)},
            }
        )
    return frame(columns, records)
