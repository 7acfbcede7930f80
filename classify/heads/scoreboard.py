"""A search's tasks on threads: results taken down, and when to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from classify.heads.fitting.tasks import Task
from extract.machine import usable_cores

Progress = Callable[[int, int], None]


class Scoreboard:
    """Takes down results from all threads, and says when to stop."""

    def __init__(
        self,
        candidates: int,
        folds: Sequence[tuple[np.ndarray, np.ndarray]],
        codes: np.ndarray,
        classes: int,
        seconds: float | None,
        clock: Callable[[], float],
        on_progress: Progress | None,
    ) -> None:
        self.scores = np.full((candidates, len(codes), classes), -np.inf, dtype=np.float32)
        self.accuracy = np.full((candidates, len(folds)), np.nan)
        self.stopped = False
        self._folds, self._codes, self._clock, self._on_progress = folds, codes, clock, on_progress
        self._start = clock()
        self._end = np.inf if seconds is None else self._start + seconds
        self._done, self._lock = 0, threading.Lock()

    @property
    def closed(self) -> bool:
        """Whether no task may begin any more."""
        return self.stopped or self._clock() >= self._end

    def enter(self, candidate: int, fold: int, columns: np.ndarray, scores: np.ndarray) -> None:
        """Keep one fit's scores of its held-out rows."""
        held = self._folds[fold][1]
        self.scores[candidate, held[:, None], columns] = scores
        with self._lock:
            self.accuracy[candidate, fold] = (columns[scores.argmax(axis=1)] == self._codes[held]).mean()
            self._done += 1
            if self._on_progress and not self.stopped:
                try:
                    self._on_progress(self._done, self.accuracy.size)
                except BaseException:
                    self.stopped = True  # before the lock passes to a thread that would go on
                    raise

    def in_time(self) -> bool:
        """Whether to begin another fit: there is time, and before the first setting is complete, enough for it."""
        now = self._clock()
        with self._lock:
            missing = np.isnan(self.accuracy).sum(axis=1).min()
        if self.stopped:
            return False
        return now + missing * (now - self._start) / self._done <= self._end if missing else now < self._end


def run(tasks: Sequence[Task], board: Scoreboard, n_jobs: int | None) -> bool:
    """Run all tasks; returns whether Ctrl-C ended them early.

    Threads, not processes: BLAS and libsvm release the GIL and X is shared. One BLAS thread each: on the
    skinny products of a linear model two BLAS threads were 8 times slower than one.
    """
    from threadpoolctl import threadpool_limits

    def take(task: Task) -> None:
        if board.closed:
            return
        try:
            for results in task():
                for result in results:
                    board.enter(*result)
                if not board.in_time():
                    return
        except BaseException:
            board.stopped = True  # now, and not when the main thread comes to wait for this task
            raise

    with threadpool_limits(1), ThreadPoolExecutor(min(n_jobs or usable_cores(), len(tasks))) as pool:
        futures = [pool.submit(take, task) for task in tasks]
        try:
            for future in futures:
                future.result()
        except KeyboardInterrupt:
            board.stopped = True
            pool.shutdown(wait=True, cancel_futures=True)
            return True
        except BaseException:
            board.stopped = True
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return False
