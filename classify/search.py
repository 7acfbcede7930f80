"""Choose a head's settings by cross-validation, on the training part only."""

from __future__ import annotations

import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from classify import paths
from classify.heads import Head

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Candidate:
    """One setting of a head: `accuracy` (folds,) on the rows each fold held out."""

    params: dict[str, Any]
    accuracy: np.ndarray

    @property
    def mean(self) -> float:
        """Unweighted mean over the folds, as in GridSearchCV."""
        return float(self.accuracy.mean())

    @property
    def std(self) -> float:
        """Standard deviation over the folds (population formula, as in GridSearchCV)."""
        return float(self.accuracy.std())


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    `pipeline` is fitted on all rows with `params`. `scores` (n, C) float32 are the chosen candidate's scores
    of each row by the fold model that had not seen it, -inf for a class that fold lacked; `classes` (C,)
    names the columns. `seconds` covers search and refit.
    """

    head: str
    params: dict[str, Any]
    cv_accuracy: float
    cv_std: float
    candidates: list[Candidate]
    classes: np.ndarray
    scores: np.ndarray
    pipeline: Pipeline
    seconds: float
    notes: list[str]


def search(
    head: Head,
    X: np.ndarray,
    y: np.ndarray,
    *,
    folds: int = 5,
    seed: int = 0,
    n_jobs: int | None = None,
    on_progress: Progress | None = None,
) -> SearchResult:
    """Find the setting with the highest cross-validated accuracy and refit it on all rows.

    The folds (StratifiedKFold, shuffled) and the choice (highest mean, the first of equals) are
    GridSearchCV's.

    Parameters
    ----------
    head : Head
    X : (n, D) float32 or float64 array
        Finite.
    y : (n,) array of class names
    folds : int
        Lowered, with a note, when no class has that many rows.
    seed : int
        Shuffles the folds.
    n_jobs : int, optional
        Threads; default: the cores this process may use. The result does not depend on it.
    on_progress : callable (done, total), optional
        Called after every fit of the search, from one thread at a time.

    Raises
    ------
    UserError
        For rows that are not finite, or fewer than two classes with two rows.
    """
    from joblib import cpu_count
    from sklearn.base import clone
    from sklearn.model_selection import StratifiedKFold
    from threadpoolctl import threadpool_limits

    if n_jobs is not None and n_jobs < 1:
        raise UserError(f"Expected --jobs of at least 1, received {n_jobs}.")
    if not 0 <= seed < 2**32:
        raise UserError(f"Expected --seed from 0 to {2**32 - 1}, received {seed}.")
    start = time.perf_counter()
    classes, codes, folds, notes = _check(X, np.asarray(y), folds)
    template = head.make()
    grid = head.grid(X.shape[1])
    candidates = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    scores = np.full((len(candidates), len(X), len(classes)), -np.inf, dtype=np.float32)
    accuracy = np.full((len(candidates), folds), np.nan)
    tick = _Ticker(len(candidates) * folds, on_progress)

    def run(fold: int, fit: np.ndarray, held: np.ndarray) -> None:
        columns = np.unique(codes[fit])
        for number, found in _fit_fold(head, template, candidates, X[fit], codes[fit], X[held]):
            scores[number, held[:, None], columns] = found
            accuracy[number, fold] = (columns[found.argmax(axis=1)] == codes[held]).mean()
            tick()

    # Threads, not processes: BLAS and libsvm release the GIL and X is shared. One fold a thread and one BLAS
    # thread each: on the skinny products of a linear model two BLAS threads were 8 times slower than one.
    workers = min(n_jobs or cpu_count(), folds)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with threadpool_limits(1), ThreadPoolExecutor(workers) as pool:
            splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
            futures = [pool.submit(run, i, *parts) for i, parts in enumerate(splitter.split(X, codes))]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                tick.stop()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        table = [Candidate(params, row) for params, row in zip(candidates, accuracy, strict=True)]
        # Rounded: equal accuracies whose mean differs in the last bit are equal.
        best = int(np.argmax([round(candidate.mean, 9) for candidate in table]))
        with threadpool_limits(1):
            pipeline = clone(template).set_params(**candidates[best]).fit(X, classes[codes])
    return SearchResult(
        head=head.name,
        params=candidates[best],
        cv_accuracy=table[best].mean,
        cv_std=table[best].std,
        candidates=table,
        classes=classes,
        scores=scores[best].copy(),
        pipeline=pipeline,
        seconds=time.perf_counter() - start,
        notes=notes + _as_notes(head.name, caught),
    )


def _fit_fold(
    head: Head,
    template: Pipeline,
    candidates: Sequence[dict[str, Any]],
    Z: np.ndarray,
    y: np.ndarray,
    V: np.ndarray,
) -> Any:
    from sklearn.base import clone

    last = f"{template.steps[-1][0]}__"
    if not all(name.startswith(last) for params in candidates for name in params):
        return paths.each(template, candidates, Z, y, V)
    if len(template.steps) > 1:
        before = clone(template[:-1]).fit(Z, y)
        Z, V = before.transform(Z), before.transform(V)
    inner = [{name.removeprefix(last): value for name, value in params.items()} for params in candidates]
    return head.path(template.steps[-1][1], inner, Z, y, V)


def _check(X: np.ndarray, y: np.ndarray, folds: int) -> tuple[np.ndarray, np.ndarray, int, list[str]]:
    bad = int((~np.isfinite(X).all(axis=1)).sum())
    if bad:
        raise UserError(
            f"Expected finite embeddings, received {bad} of {len(X)} rows with NaN or infinity. "
            "Run `cache verify`, then `extract` again, to replace them."
        )
    classes, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    if (counts >= 2).sum() < 2:
        received = ", ".join(f"{name} ({n})" for name, n in list(zip(classes, counts, strict=True))[:10])
        raise UserError(
            "Expected at least two classes with two or more training pictures each, "
            f"received {received or 'no pictures'}. Add pictures, or check that labels are folder names."
        )
    if folds < 2:
        raise UserError(f"Expected --folds of at least 2, received {folds}.")
    notes = []
    if folds > counts.max():
        notes.append(
            f"{folds} folds lowered to {counts.max()}: no class has more training pictures than that"
        )
        folds = int(counts.max())
    rare = int((counts < folds).sum())
    if rare:
        notes.append(f"{rare} of {len(classes)} classes have fewer training pictures than folds ({folds})")
    return classes, codes, folds, notes


def _as_notes(name: str, caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Count what scikit-learn warned of; rare classes have a note of their own."""
    lines = Counter(str(warning.message).splitlines()[0] for warning in caught)
    return [
        f"{name}: {line}" + (f" ({n} times)" if n > 1 else "")
        for line, n in lines.items()
        if "least populated class" not in line
    ]


class _Ticker:
    """Counts fits across threads, and stops them at the next fit when asked."""

    def __init__(self, total: int, on_progress: Progress | None) -> None:
        self.total, self.on_progress = total, on_progress
        self.done = 0
        self.stopped = False
        self.lock = threading.Lock()

    def __call__(self) -> None:
        with self.lock:
            if self.stopped:
                raise InterruptedError("the search was stopped")
            self.done += 1
            if self.on_progress:
                self.on_progress(self.done, self.total)

    def stop(self) -> None:
        self.stopped = True
