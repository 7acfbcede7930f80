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


@dataclass(frozen=True, eq=False)
class Trained:
    """The n pictures that a run was trained on; identical files are one."""

    key: NDArray[np.uint8]  # (n, 32)
    path: NDArray[np.object_]  # (n,)
    label: NDArray[np.object_]  # (n,)


def training_pictures(run: Path, rows: HeadRows) -> Trained:
    """Name the pictures that a run was trained on.

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
            f"Expected the rows of the {len(keys):,} pictures that {run.name} was trained on, for what is most like "
            f"a picture, but {gone:,} are no longer in the cache. Run {commands}, or do without (--evidence)."
        )
    names, classes = np.array(found.path, object)[train], np.array(found.classes, object)
    return Trained(keys, names, classes[found.label[train]])


def nearest_training(run: Path, rows: HeadRows, asked: NDArray[np.float32], k: int) -> Evidence:
    """Find the training pictures of a run that are most like (m, D) rows; UserError as by `training_pictures`."""
    trained = training_pictures(run, rows)
    near = nearest(rows.gather(trained.key), asked, k, rows.spans)
    return Evidence(trained.path[near.index], trained.label[near.index], near.similarity)
