"""Go through rows block by block, on all cores, whether they are in memory or in their shards."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from classify.data.rows.streamed import Streamed
from extract.machine import usable_cores

BYTES = 24 * 2**20  # of a block, as float32
Rows = Any  # NDArray[np.floating] (n, D), or Streamed
Found = TypeVar("Found")


def sweep(
    rows: Rows,
    work: Callable[[NDArray[np.floating], NDArray[np.intp]], Found],
    jobs: int | None = None,
    size: int | None = None,
) -> Iterator[Found]:
    """Yield work(block, places) of each block of `size` rows: (k, D) rows, and which (k,) of all they are.

    Each thread has a block of its own and one BLAS thread. What is yielded comes in one order, however many threads
    there are, so that sums of it do not depend on them.
    """
    jobs = jobs or usable_cores()
    order = rows.in_file_order() if isinstance(rows, Streamed) else np.arange(len(rows))
    size = size or max(1, BYTES // (4 * rows.shape[1]))
    waiting: deque[Future[Found]] = deque()

    def one(places: NDArray[np.intp]) -> Found:
        if isinstance(rows, Streamed):
            return work(rows[places], places)
        return work(rows[places[0] : places[-1] + 1], places)

    with threadpool_limits(1), ThreadPoolExecutor(jobs) as pool:
        try:
            for start in range(0, len(order), size):
                waiting.append(pool.submit(one, order[start : start + size]))
                if len(waiting) > 2 * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()


def held(rows: Rows, jobs: int | None = None) -> Rows:
    """Rows that are to be gone through often: in memory if there is room, else there as they are stored if there is."""
    if not isinstance(rows, Streamed):
        return rows
    if 4 * len(rows) * rows.shape[1] <= rows.spare:
        return by_blocks(rows, lambda block, places: block, jobs)
    if rows.stored_bytes > rows.spare:
        return rows
    return rows.held(
        by_blocks(rows.with_all_columns(), lambda block, places: block.astype(rows.stored), jobs)
    )


def by_blocks(
    rows: Rows,
    function: Callable[[NDArray[np.floating], NDArray[np.intp]], NDArray[Any]],
    jobs: int | None = 1,
) -> NDArray[Any]:
    """Put together what a function of a block and its places, (k, D) and (k,) to (k, ...), makes of all n: (n, ...)."""
    if not len(rows):
        return function(np.empty(rows.shape, np.float32), np.empty(0, np.intp))
    found: NDArray[Any] | None = None
    for places, part in sweep(rows, lambda block, places: (places, function(block, places)), jobs):
        if found is None:
            found = np.empty((len(rows), *part.shape[1:]), part.dtype)
        found[places] = part
    assert found is not None
    return found
