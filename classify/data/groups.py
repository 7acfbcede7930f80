"""Rows that must not be torn apart, as (n,) int32 group numbers."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cache.errors import UserError
from cache.manifest import Manifest


def join(*groups: NDArray[np.integer]) -> NDArray[np.int32]:
    """Put rows together that any of several groupings puts together, and all rows that this connects.

    Parameters
    ----------
    *groups : (n,) int each
        Rows with the same number belong together; a negative number belongs to no other row.

    Returns
    -------
    (n,) int32
        Numbered from 0 in the order of first occurrence.
    """
    ends = []
    for group in groups:
        rows = np.flatnonzero(group >= 0)
        _, first, inverse = np.unique(group[rows], return_index=True, return_inverse=True)
        ends.append(np.stack([rows, rows[first[inverse]]]))
    return connect(len(groups[0]), np.concatenate(ends, axis=1))


def connect(n: int, pairs: NDArray[np.integer]) -> NDArray[np.int32]:
    """Number the connected components of n rows, in the order of first occurrence; pairs : (2, m) rows."""
    graph = coo_array((np.ones(pairs.shape[1], bool), (pairs[0], pairs[1])), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int32)
    place[np.argsort(first)] = np.arange(len(first))
    return place[inverse].astype(np.int32)


def of_column(manifest: Manifest, name: str) -> NDArray[np.int32]:
    """Group the rows of a manifest by a column of its table: (n,) int32, -1 where it is empty.

    Raises
    ------
    UserError
        For a column that the manifest does not have.
    """
    if name not in manifest.columns:
        known = ", ".join(map(repr, manifest.columns)) or "none"
        raise UserError(
            f"Expected the name of a column to group by, received {name!r}; the columns of this data set are: "
            f"{known}. Columns come from a table: `python cli.py extract labels.csv`."
        )
    values = [value.strip() for value in manifest.columns[name]]
    number = {value: i for i, value in enumerate(dict.fromkeys(values))} | {"": -1}
    return np.array([number[value] for value in values], np.int32)
