"""The training pictures that are most like others, as the head sees them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from cache.workspace import Workspace
from classify.data.neighbours.search import nearest
from classify.pages.run import Run
from classify.runs.inputs import Input, inputs_of
from classify.runs.scores import PARTS

EACH = 5
MOST = 50_000  # training pictures; of more the search would keep people waiting
SPARE = 20  # found beyond EACH, in the place of copies


def nearest_training(
    workspace: Workspace, run: Run, paths: Sequence[str]
) -> dict[str, list[tuple[str, str]]]:
    """Find the training pictures most like some of a run's pictures.

    By the cosine of the rows that the head takes, less their mean; near copies of a picture, and what was kept together
    with it, are no neighbours of it.

    Returns
    -------
    found : dict
        Path -> (path, class name) of five others, the most similar first. Empty where the run has no scores.h5, the
        cache no rows any more, or the training part more than 50,000 pictures.
    """
    scores = run.scores
    if scores is None or not paths or (scores.part == PARTS.index("train")).sum() > MOST:
        return {}
    place = {path: row for row, path in enumerate(scores.path)}
    asked = np.array([place[path] for path in paths if path in place], np.intp)
    train = np.flatnonzero(scores.part == PARTS.index("train"))
    inputs = inputs_of(run.record)
    known, wanted = (_rows(workspace, inputs, scores.key[which]) for which in (train, asked))
    if not known or not wanted:
        return {}
    pairs = zip(inputs, known, strict=True)
    widths = (width for each, rows in pairs for width in each.widths(rows.shape[1]))
    spans = list(pairwise(accumulate(widths, initial=0)))
    found = nearest(np.concatenate(known, axis=1), np.concatenate(wanted, axis=1), EACH + SPARE, spans)
    answer = dict[str, list[tuple[str, str]]]()
    for row, near in zip(asked.tolist(), train[found.index], strict=True):
        others = near[scores.group[near] != scores.group[row]][:EACH].tolist()
        answer[scores.path[row]] = [(scores.path[i], scores.classes[scores.label[i]]) for i in others]
    return answer


def _rows(
    workspace: Workspace, inputs: Sequence[Input], keys: NDArray[np.uint8]
) -> list[NDArray[np.float32]]:
    """What the head takes of (m, 32) keys, for each input; empty where the cache no longer has one, or m is 0."""
    stores = [workspace.store(each.space) for each in inputs]
    if not len(keys) or not all(store.contains(keys).all() for store in stores):
        return []
    return [store.gather(keys)[:, each.columns] for each, store in zip(inputs, stores, strict=True)]
