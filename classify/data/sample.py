"""A small stratified part of a data set's training pictures, to try things on that must not see the test part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.keys import as_items, unique
from cache.workspace import Workspace
from classify.data.identity import digests
from classify.data.split_record import Assignments, reserve
from classify.data.splits import TRAIN, split

if TYPE_CHECKING:
    pass


def training_sample(
    workspace: Workspace, dataset: str, manifest: Manifest, size: int, *, test_size: float, seed: int
) -> np.ndarray:
    """Draw training pictures, and see to it that no later split with this seed and test size tests them.

    Each class gives its share, in the order of SHA-256(seed || key): a larger sample holds a smaller one. Copies
    count once. A data set with parts of its own keeps them; of any other the sample is recorded as training
    pictures, before embeddings can tell near copies: those join it later, not the test part.

    Parameters
    ----------
    workspace : Workspace
    dataset : str
    manifest : Manifest
        Rows that are not hashed are passed over.
    size : int
        At most so many; all training pictures where there are no more.
    test_size : float
    seed : int
        Both as for `fit-head`.

    Returns
    -------
    rows : (n,) int
        Of the manifest, ascending.

    Raises
    ------
    UserError
        When there are no pictures for training and for testing.
    """
    if size < 1:
        raise UserError(f"Expected --sample of at least 1, received {size}.")
    hashed = np.flatnonzero(manifest.hashed)
    known = manifest.select(hashed)
    path = Assignments.path(workspace.root, dataset, seed, test_size)
    previous = Assignments.load(path)
    divided = split(known, test_size=test_size, seed=seed, previous=previous)
    train = np.flatnonzero(divided.part == TRAIN)
    items, first, _ = unique(as_items(known.key[train]))
    rows = train[first]  # one of each picture
    chosen = rows[stratified(known.label[rows], digests(items, seed), size)]
    if divided.assigned is not None:
        reserve(previous, known.key[chosen]).save(path)
    return np.sort(hashed[chosen])


def stratified(label: np.ndarray, order: np.ndarray, size: int) -> np.ndarray:
    """Choose `size` of n rows, each class in proportion.

    Row r of the c rows of a class, in their order, stands at (r + 1/2) / c; the rows that stand lowest are taken.

    Parameters
    ----------
    label, order : (n,) int
        `order` sorts the rows of a class.
    size : int

    Returns
    -------
    (min(n, size),) int
    """
    by_class = np.lexsort((order, label))
    _, start, count = np.unique(label[by_class], return_index=True, return_counts=True)
    rank = np.arange(len(label)) - np.repeat(start, count)
    stand = (rank + 0.5) / np.repeat(count, count)
    return by_class[np.lexsort((order[by_class], stand))[:size]]
