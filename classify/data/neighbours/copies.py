"""The near copies of a data set, found once and kept beside its space."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.dataset import Embedded
from cache.storage.keys import as_items, unique
from cache.storage.rows import Rows
from cache.storage.store import Store
from classify.data.groups import connect
from classify.data.neighbours import near_duplicates
from classify.data.neighbours.approximate import EXACT
from classify.data.neighbours.kept import keep, place, recall
from classify.data.neighbours.near_duplicates import Groups


def copies_of(data: Embedded, thumbnails: Store, held: bool = True) -> Groups:
    """Group the rows of a data set that show the same picture, as `near_duplicates.groups` does.

    The answer is kept beside the first space, by whose plain embeddings candidates are told.

    Parameters
    ----------
    data : Embedded
        n rows.
    thumbnails : Store
        As of `extract.embedding.thumbnails.thumbnails_of`.
    held : bool
        Whether memory has room for all rows.
    """
    held = held and len(data.manifest) <= EXACT
    keys, rows = data.manifest.key, data.embedding[:, data.top] if held else _Kept.of(data)
    digest = sha256(f"{near_duplicates.RULES}, {data.space.id}, {thumbnails.space.id}\n".encode())
    for part in (keys, thumbnails.contains(keys), rows.rows.identity() if isinstance(rows, _Kept) else rows):
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
            "recall": np.array([found.found, found.sampled]),
        }
        keep(path, arrays)
        return found
    _, first, inverse = unique(as_items(keys))
    pairs, counts = kept["pairs"], kept["counts"].tolist()
    edges = np.concatenate([np.stack([np.arange(len(keys)), first[inverse]]), pairs.T], axis=1)
    recall_of = kept["recall"].tolist() if "recall" in kept else []  # an older version compared all
    return Groups(connect(len(keys), edges), pairs, kept["likeness"], kept["bits"], *counts, *recall_of)


@dataclass(frozen=True)
class _Kept:
    """Some columns of rows that stay in the cache until they are asked for."""

    rows: Rows
    columns: slice

    @classmethod
    def of(cls, data: Embedded) -> _Kept:
        """The plain embeddings of a data set's first space."""
        return cls(Rows(data.store, data.manifest.key), data.top)

    def take(self, indices: NDArray[np.intp]) -> NDArray[np.float32]:
        return self.rows.take(indices)[:, self.columns]

    def in_file_order(self, indices: NDArray[np.intp]) -> NDArray[np.intp]:
        return self.rows.in_file_order(indices)
