"""What an answer rests on: the training pictures whose rows are most like that of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cache.errors import UserError
from cache.storage.keys import as_items, unique
from cache.workspace import extract_command
from classify.data.neighbours.search import nearest
from classify.runs import scores
from classify.runs.head_rows import HeadRows
from classify.runs.inputs import inputs_of
from classify.runs.record import record_of


@dataclass(frozen=True, eq=False)
class Evidence:
    """The k training pictures most like each of m pictures, the most similar first; fewer where there are no more."""

    path: NDArray[np.object_]  # (m, k)
    label: NDArray[np.object_]  # (m, k)
    similarity: NDArray[np.float32]  # (m, k) cosine of their rows, -1 to 1


def nearest_training(run: Path, rows: HeadRows, asked: NDArray[np.float32], k: int) -> Evidence:
    """Find the training pictures of a run that are most like (m, D) rows; identical files are one picture.

    Raises
    ------
    UserError
        When the run does not tell what it was trained on, or the cache has not all of it any more.
    """
    found = scores.load(run)
    train = np.flatnonzero(found.part == scores.PARTS.index("train"))
    train = train[np.sort(unique(as_items(found.key[train]))[1])]
    keys = found.key[train]
    gone = int((~rows.there(keys)).sum())
    if gone:
        record = record_of(run)
        root = record.get("root") or "FOLDER/"
        commands = " and ".join(f"`{extract_command(each.space, root)}`" for each in inputs_of(record))
        raise UserError(
            f"Expected the rows of the {len(keys):,} pictures that {run.name} was trained on, for --evidence, but "
            f"{gone:,} are no longer in the cache. Run {commands}, or leave --evidence out."
        )
    near = nearest(rows.gather(keys), asked, k, rows.spans)
    names, classes = np.array(found.path, object)[train], np.array(found.classes, object)
    return Evidence(names[near.index], classes[found.label[train]][near.index], near.similarity)
