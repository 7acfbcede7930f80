"""The near copies of a data set, found once and kept beside its space."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from cache.storage.keys import as_items, unique
from cache.storage.store import Store
from classify.data.groups import connect
from classify.data.labelled import Columns
from classify.data.neighbours import near_duplicates
from classify.data.neighbours.kept import keep, place, recall
from classify.data.neighbours.near_duplicates import Groups
from classify.data.rows.blocks import Rows
from classify.data.rows.streamed import Streamed


def copies_of(data: Embedded, thumbnails: Store, rows: Rows | None = None) -> Groups:
    """Group the rows of a data set that show the same picture, as `near_duplicates.groups` does.

    The answer is kept beside the first space, by whose plain embeddings candidates are told.

    Parameters
    ----------
    data : Embedded
        n rows.
    thumbnails : Store
        As of `extract.embedding.thumbnails.thumbnails_of`.
    rows : n rows, optional
        Those of `data`, streamed or in memory; default: in memory.
    """
    top = Columns("top", ((data.top.start, data.top.stop),))
    keys, rows = data.manifest.key, top.of(data.embedding if rows is None else rows)
    digest = sha256(f"{near_duplicates.RULES}, {data.space.id}, {thumbnails.space.id}\n".encode())
    for part in (keys, thumbnails.contains(keys), rows.identity() if isinstance(rows, Streamed) else rows):
        digest.update(np.ascontiguousarray(part).data)
    path = place(data.store, "copies", digest.hexdigest())
    kept = recall(path)
    if kept is None:
        found = near_duplicates.groups(keys, rows, thumbnails)
        counts = np.array([found.identical, found.candidates, found.unseen, found.dropped])
        arrays: dict[str, NDArray[Any]] = {
            "counts": counts,
            "pairs": found.pairs,
            "likeness": found.likeness,
            "bits": found.bits,
        }
        keep(path, arrays)
        return found
    _, first, inverse = unique(as_items(keys))
    pairs, counts = kept["pairs"], kept["counts"].tolist()
    edges = np.concatenate([np.stack([np.arange(len(keys)), first[inverse]]), pairs.T], axis=1)
    return Groups(connect(len(keys), edges), pairs, kept["likeness"], kept["bits"], *counts)
