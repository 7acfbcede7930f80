"""A worker of a cluster that fits: it has the tasks of a search, and does of one of them as much as it is told to."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice

from cache.versions import versions
from classify.heads.fitting.tasks import Fitter, Result, Work, tasks_of

PACKAGES = ("numpy", "scipy", "scikit-learn")  # that numbers come from


class Fits:
    """One process of a cluster, as an actor; its methods are called one after the other."""

    def hello(self) -> tuple[str, dict[str, str]]:
        """Tell on which machine it is, and with which libraries, once it is there."""
        return socket.gethostname(), versions(*PACKAGES)

    def learn(self, work: tuple[Fitter, Sequence[Work]]) -> None:
        """Learn what the tasks of a search are, which are made in the same order everywhere."""
        self._tasks = tasks_of(*work)
        self._at: tuple[int, int] | None = None

    def count(self) -> int:
        """How many tasks there are."""
        return len(self._tasks)

    def step(self, task: int, number: int) -> tuple[list[Result] | None, list[Warning]]:
        """Return what a task finishes together as its `number`-th, None after its last, and what was warned of."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if self._at != (task, number):
                self._rest: Iterator[list[Result]] = islice(self._tasks[task](), number, None)
            found = next(self._rest, None)
        self._at = (task, number + 1)
        said = [each.message for each in caught if isinstance(each.message, Warning)]
        return found, said
