"""Choose a head's settings by cross-validation, on the training part only."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from classify.data.views import in_folds, shared_weight
from classify.heads.fitting.fitters import fit_weighted, takes_weights
from classify.heads.fitting.tasks import Params, Work
from classify.heads.folds import check_classes, cross_validation_folds
from classify.heads.scoreboard import Progress, Scoreboard, run
from classify.heads.table import Head

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# Warnings about what is so on purpose, the mlp's number of epochs, or does not matter, a centroid's deviation.
_EXPECTED = ("Stochastic Optimizer: Maximum iterations", "self.within_class_std_dev_ has at least 1 zero")


@dataclass(frozen=True)
class Candidate:
    """One setting of a head: `accuracy` (folds,) on the rows each fold held out."""

    params: dict[str, Any]
    accuracy: np.ndarray

    @property
    def settings(self) -> dict[str, Any]:
        """The setting in plain values: steps' names left out, a scaling by its name, whatever is no JSON as text."""
        from classify.heads.fitting.scaling import scaling_name

        plain = {}
        for name, value in self.params.items():
            if not isinstance(value, str | int | float | bool | list | tuple | None):
                value = scaling_name(value) or repr(value)
            plain[name.rpartition("__")[2]] = "none" if value == "passthrough" else value
        return plain

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
    names the columns. `seconds` covers search and refit. `candidates` are those tried on every fold of `folds`.
    """

    head: str
    params: dict[str, Any]
    settings: dict[str, Any]
    cv_accuracy: float
    cv_std: float
    candidates: list[Candidate]
    classes: np.ndarray
    scores: np.ndarray
    pipeline: Pipeline
    seconds: float
    notes: list[str]
    folds: list[tuple[np.ndarray, np.ndarray]]
    interrupted: bool = False


def search(
    head: Head,
    X: np.ndarray,
    y: np.ndarray,
    *,
    folds: int = 5,
    seed: int = 0,
    n_jobs: int | None = None,
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    views: np.ndarray | None = None,
    seconds: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Progress | None = None,
) -> SearchResult:
    """Find the setting with the highest cross-validated accuracy and refit it on all rows.

    The folds (StratifiedKFold, or StratifiedGroupKFold where there are groups, shuffled) and the choice
    (highest mean, the first of equals) are GridSearchCV's. Above `heads.EXACT_KERNEL_ROWS` rows a kernel head
    is replaced by its approximation, with a note.

    Parameters
    ----------
    head : Head
    X : (n, D) float32 or float64 array
        Finite.
    y : (n,) array of class names
    folds : int
        Lowered, with a note, when no class has that many rows, or there are fewer groups.
    seed : int
        Shuffles the folds.
    n_jobs : int, optional
        Threads; default: the cores this process may use. The result does not depend on it.
    weight : (n,) float, optional
        Of each row, in fitting; accuracy is not weighted.
    groups : (n,) int, optional
        Rows of one group are never on both sides of a fold.
    views : (V, n, D) float array, optional
        Each row in several views, X the first of them. Fits are on all views of their rows, which share the row's
        weight; a fold holds out, and accuracy and scores are of, X alone. The folds are those without views.
    seconds : float, optional
        After that no further fit is begun; the candidates that are complete by then are compared.
    clock : callable () -> float
        Called from several threads.
    on_progress : callable (done, total), optional
        Called after every fit of the search, from one thread at a time.

    Raises
    ------
    UserError
        For rows that are not finite, fewer than two classes with two rows, groups that leave a fold one class, or
        not one candidate in time.
    """
    from sklearn.base import clone
    from sklearn.model_selection import ParameterGrid
    from threadpoolctl import threadpool_limits

    if n_jobs is not None and n_jobs < 1:
        raise UserError(f"Expected --jobs of at least 1, received {n_jobs}.")
    if not 0 <= seed < 2**32:
        raise UserError(f"Expected --seed from 0 to {2**32 - 1}, received {seed}.")
    start = clock()
    classes, codes, folds, notes = _check(X if views is None else views, np.asarray(y), folds)
    if groups is not None and folds > (distinct := len(np.unique(groups))):
        notes.append(f"{folds} folds lowered to {distinct}: there are no more groups than that")
        folds = distinct
    rows = X if views is None else views.reshape(-1, X.shape[1])
    chosen = head.for_rows(len(rows) * (folds - 1) // folds)
    if chosen is not head:
        notes.append(f"{head.name}: approximated, as an exact kernel on {len(rows):,} rows takes too long")
    template, grid = chosen.make(), chosen.grid(X.shape[1])
    if weight is not None and not takes_weights(template):
        notes.append(f"{head.name} takes no weights: fitted as if all rows weighed the same")
    candidates = list(ParameterGrid(grid))
    parts = cross_validation_folds(codes, folds, seed, groups)
    fits, shared, labels = parts, weight, codes
    if views is not None:
        fits = in_folds(parts, len(X), len(views))
        shared, labels = shared_weight(weight, len(X), len(views)), np.tile(codes, len(views))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        works = [
            Work(before, members, rows, labels, len(classes), fits, shared)
            for before, members in _share_preprocessing(template, candidates)
        ]
        tasks = [task for work in works for task in chosen.path(work)]
        board = Scoreboard(len(candidates), parts, codes, len(classes), seconds, clock, on_progress)
        interrupted = run(tasks, board, n_jobs)
        complete = np.flatnonzero(np.isfinite(board.accuracy).all(axis=1))
        if interrupted and not len(complete):
            raise KeyboardInterrupt
        if not len(complete):
            raise UserError(
                f"Expected time for at least one setting of {head.name} on {folds} folds, received {seconds:.1f} s. "
                "Raise --budget, or choose a cheaper head with --model."
            )
        if len(complete) < len(candidates):
            why = "interrupted" if interrupted else "out of time"
            notes.append(f"{head.name}: {why} after {len(complete)} of {len(candidates)} settings")
        table = [Candidate(candidates[i], board.accuracy[i]) for i in complete]
        # Rounded: equal accuracies whose mean differs in the last bit are equal.
        best = int(np.argmax([round(candidate.mean, 9) for candidate in table]))
        with threadpool_limits(1):
            pipeline = clone(template).set_params(**table[best].params)
            fit_weighted(pipeline, rows, classes[labels], shared)
    return SearchResult(
        head=head.name,
        params=table[best].params,
        settings=table[best].settings,
        cv_accuracy=table[best].mean,
        cv_std=table[best].std,
        candidates=table,
        classes=classes,
        scores=board.scores[complete[best]].copy(),
        pipeline=pipeline,
        seconds=clock() - start,
        notes=notes + _as_notes(head.name, caught),
        folds=parts,
        interrupted=interrupted,
    )


def _share_preprocessing(
    template: Pipeline, candidates: Sequence[Params]
) -> Iterator[tuple[Pipeline, list[tuple[int, Params]]]]:
    """Group candidates that differ in the classifier alone: (pipeline with their preprocessing, members)."""
    from sklearn.base import clone

    last = f"{template.steps[-1][0]}__"
    groups: dict[str, tuple[Params, list[tuple[int, Params]]]] = {}
    for number, params in enumerate(candidates):
        before = {name: value for name, value in params.items() if not name.startswith(last)}
        own = {name.removeprefix(last): value for name, value in params.items() if name.startswith(last)}
        groups.setdefault(repr(before), (before, []))[1].append((number, own))
    for before, members in groups.values():
        yield clone(template).set_params(**before), members


def _check(X: np.ndarray, y: np.ndarray, folds: int) -> tuple[np.ndarray, np.ndarray, int, list[str]]:
    finite = np.isfinite(X).all(axis=-1)
    bad = int((~finite).sum())
    if bad:
        raise UserError(
            f"Expected finite embeddings, received {bad} of {finite.size} rows with NaN or infinity. "
            "Run `cache verify`, then `extract` again, to replace them."
        )
    classes, codes, counts = check_classes(y)
    if folds < 2:
        raise UserError(f"Expected --folds of at least 2, received {folds}.")
    notes = []
    if folds > counts.max():
        notes.append(
            f"{folds} folds lowered to {counts.max()}: no class has more training pictures than that"
        )
        folds = int(counts.max())
    return classes, codes, folds, notes


def _as_notes(name: str, caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Count what scikit-learn warned of."""
    lines = Counter(str(warning.message).splitlines()[0] for warning in caught)
    return [
        f"{name}: {line}" + (f" ({n} times)" if n > 1 else "")
        for line, n in lines.items()
        if not line.startswith(_EXPECTED)
    ]
