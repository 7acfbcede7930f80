"""Choose a head's settings by cross-validation, on the training part only."""

from __future__ import annotations

import functools
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.errors import UserError
from classify.data.labelled import Columns, Labelled, in_folds
from classify.heads.fitting.fitters import fit_weighted, takes_weights
from classify.heads.fitting.tasks import Params, Spread, Work, here
from classify.heads.folds import check_classes, cross_validation_folds
from classify.heads.scoreboard import Progress, Scoreboard, run
from classify.heads.settings import plain
from classify.heads.table import Head

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from classify.data.rows.streamed import Streamed
    from classify.heads.arrays import ArrayHead

# Warnings about what is so on purpose, the mlp's number of epochs, or does not matter, a centroid's deviation.
_EXPECTED = ("Stochastic Optimizer: Maximum iterations", "self.within_class_std_dev_ has at least 1 zero")


@dataclass(frozen=True)
class Candidate:
    """One setting of a head: `accuracy` (folds,) on the rows each fold held out."""

    params: dict[str, Any]
    accuracy: np.ndarray
    solved: bool = True  # False where it was clearly behind, and left before it was fitted to the end

    @property
    def settings(self) -> dict[str, Any]:
        """The setting in plain values."""
        return plain(self.params)

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

    `pipeline`, of streamed rows a head of arrays, is fitted on `columns` of all rows with `params`; `template` is the
    Pipeline before that. `scores` (n, C) float32 are the chosen candidate's scores of each row by the fold model that
    had not seen it, -inf for a class that fold lacked; `classes` (C,) names their columns. `seconds` covers search and
    refit. `candidates` are those tried on every fold of `folds`. `again`, of streamed rows, fits the same to others.
    """

    head: str
    params: dict[str, Any]
    settings: dict[str, Any]
    cv_accuracy: float
    cv_std: float
    candidates: list[Candidate]
    classes: np.ndarray
    scores: np.ndarray
    columns: Columns
    template: Pipeline
    pipeline: Pipeline | ArrayHead
    seconds: float
    notes: list[str]
    folds: list[tuple[np.ndarray, np.ndarray]]
    interrupted: bool = False
    again: Callable[[Streamed, np.ndarray], ArrayHead] | None = None


@dataclass(frozen=True)
class SearchOptions:
    """How to search; only `folds`, `seed` and `seconds` change what is found.

    Parameters
    ----------
    folds : int
        Lowered, with a note, when no class has that many rows, or there are fewer groups.
    seed : int
        Shuffles the folds.
    n_jobs : int, optional
        Threads; default: the cores this process may use.
    seconds : float, optional
        After that no further fit is begun; the candidates that are complete by then are compared.
    clock : callable () -> float
        Called from several threads.
    on_progress : callable (done, total), optional
        Called after every fit of the search, from one thread at a time.
    on_refit : callable ()
        Called when the search is over and the chosen setting is fitted on all rows.
    spread : Spread
        Who does the fits: by default threads of this process.
    """

    folds: int = 5
    seed: int = 0
    n_jobs: int | None = None
    seconds: float | None = None
    clock: Callable[[], float] = time.perf_counter
    on_progress: Progress | None = None
    on_refit: Callable[[], None] = lambda: None
    spread: Spread = here

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise UserError(f"Expected --folds of at least 2, received {self.folds}.")
        if self.n_jobs is not None and self.n_jobs < 1:
            raise UserError(f"Expected --jobs of at least 1, received {self.n_jobs}.")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"Expected --seed from 0 to {2**32 - 1}, received {self.seed}.")


def search(head: Head, data: Labelled, how: SearchOptions | None = None) -> SearchResult:
    """Find the setting with the highest cross-validated accuracy and refit it on all rows.

    Which of the data's `choices` of columns a head uses is a setting like others.

    The folds (StratifiedKFold, or StratifiedGroupKFold where there are groups, shuffled; those of X, whatever views
    there are) and the choice (highest mean, the first of equals) are GridSearchCV's. Above `heads.EXACT_KERNEL_ROWS`
    rows a kernel head is replaced by its approximation, with a note.

    Parameters
    ----------
    head : Head
    data : Labelled
        Finite.
    how : SearchOptions, optional

    Raises
    ------
    UserError
        For rows that are not finite, fewer than two classes with two rows, groups that leave a fold one class, or
        not one candidate in time.
    """
    from sklearn.base import clone
    from sklearn.model_selection import ParameterGrid
    from threadpoolctl import threadpool_limits

    from classify.heads.fitting.parts import without_parts

    how = how or SearchOptions()
    start = how.clock()
    _check_finite(data.X if data.views is None else data.views)
    classes, codes, folds, notes = check(data, how.folds)
    rows, labels, weight = data.in_all_views(codes)
    chosen = head.for_rows(len(rows) * (folds - 1) // folds)
    notes += approximated(head, chosen, len(rows))
    template, grids = settings_of(chosen, data)
    if data.weight is not None and not takes_weights(template):
        notes.append(f"{head.name} takes no weights: fitted as if all rows weighed the same")
    stays = chosen.users_own and how.spread is not here
    if stays:
        notes.append(f"{head.name} is fitted on this machine: nodes of a cluster do not have its code")
    whole = choices_of_columns(chosen, data)[-1]
    candidates = list(ParameterGrid(grids))
    parts = cross_validation_folds(codes, folds, how.seed, data.group)
    fits = parts if data.views is None else in_folds(parts, len(codes), len(data.views))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parts_of = functools.cache(lambda columns: columns.of(rows))  # once for all that use them
        works = [
            Work(after, members, parts_of(columns or whole), labels, len(classes), fits, weight)
            for before, members in _share_preprocessing(template, candidates)
            for columns, after in [without_parts(before)]
        ]
        tasks, at_once = (here if stays else how.spread)(chosen.fitter, works)
        board = Scoreboard(
            len(candidates), parts, codes, len(classes), how.seconds, how.clock, how.on_progress
        )
        interrupted = run(tasks, board, at_once or how.n_jobs)
        complete = np.flatnonzero(np.isfinite(board.accuracy).all(axis=1))
        if interrupted and not len(complete):
            raise KeyboardInterrupt
        if not len(complete):
            raise UserError(
                f"Expected time for at least one setting of {head.name} on {folds} folds, received {how.seconds:.1f} "
                "s. Raise --budget, or choose a cheaper head with --model."
            )
        if len(complete) < len(candidates):
            why = "interrupted" if interrupted else "out of time"
            notes.append(f"{head.name}: {why} after {len(complete)} of {len(candidates)} settings")
        table = [Candidate(candidates[i], board.accuracy[i]) for i in complete]
        # Rounded: equal accuracies whose mean differs in the last bit are equal.
        best = int(np.argmax([round(candidate.mean, 9) for candidate in table]))
        how.on_refit()
        with threadpool_limits(1):
            columns, chosen_one = without_parts(clone(template).set_params(**table[best].params))
            pipeline = clone(chosen_one)
            fit_weighted(pipeline, parts_of(columns or whole), classes[labels], weight)
    return SearchResult(
        head=head.name,
        params=table[best].params,
        settings=table[best].settings,
        cv_accuracy=table[best].mean,
        cv_std=table[best].std,
        candidates=table,
        classes=classes,
        scores=board.scores[complete[best]].copy(),
        columns=columns or whole,
        template=chosen_one,
        pipeline=pipeline,
        seconds=how.clock() - start,
        notes=notes + _as_notes(head.name, caught),
        folds=parts,
        interrupted=interrupted,
    )


def approximated(head: Head, chosen: Head, n: int) -> list[str]:
    """Say so where another head stands for one on n rows."""
    if chosen is head:
        return []
    return [f"{head.name}: approximated, as an exact kernel on {n:,} rows takes too long"]


def settings_of(head: Head, data: Labelled) -> tuple[Pipeline, list[dict[str, list[Any]]]]:
    """A head's Pipeline and its grids for some data: one grid for each choice of columns that there is.

    The last choice is the widest. It is tried with every scaling, the others, which seldom win, with the first alone.
    With a single choice there is nothing to search, and the Pipeline is for those columns; `users_own` heads use the
    widest.
    """
    from classify.heads.fitting.parts import STEP, PartSelector, with_parts
    from classify.heads.fitting.scaling import of_parts

    choices = choices_of_columns(head, data)
    grids = []
    for columns in choices:
        grid = head.grid(columns.width)
        if "scale" in grid:
            scalings = grid["scale"] if columns is choices[-1] else grid["scale"][:1]
            grid["scale"] = of_parts(scalings, columns.widths)
        grids.append(grid if len(choices) == 1 else {STEP: [PartSelector(columns)], **grid})
    return (head.make() if len(choices) == 1 else with_parts(head.make())), grids


def choices_of_columns(head: Head, data: Labelled) -> Sequence[Columns]:
    """Which columns a head may use: the choices of the data, or the widest of them."""
    choices = data.choices or (Columns("all", ((0, data.X.shape[1]),)),)
    return choices[-1:] if head.users_own else choices


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


def _check_finite(rows: np.ndarray) -> None:
    finite = np.isfinite(rows).all(axis=-1)
    bad = int((~finite).sum())
    if bad:
        raise UserError(
            f"Expected finite embeddings, received {bad} of {finite.size} rows with NaN or infinity. "
            "Run `cache verify`, then `extract` again, to replace them."
        )


def check(data: Labelled, folds: int) -> tuple[np.ndarray, np.ndarray, int, list[str]]:
    """Classes (C,), the code of each row's among them (n,), how many folds there can be, and why fewer."""
    classes, codes, counts = check_classes(np.asarray(data.y))
    notes = []
    if folds > counts.max():
        notes.append(
            f"{folds} folds lowered to {counts.max()}: no class has more training pictures than that"
        )
        folds = int(counts.max())
    if data.group is not None and folds > (distinct := len(np.unique(data.group))):
        notes.append(f"{folds} folds lowered to {distinct}: there are no more groups than that")
        folds = distinct
    return classes, codes, folds, notes


def _as_notes(name: str, caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Count what scikit-learn warned of."""
    lines = Counter(str(warning.message).splitlines()[0] for warning in caught)
    return [
        f"{name}: {line}" + (f" ({n} times)" if n > 1 else "")
        for line, n in lines.items()
        if not line.startswith(_EXPECTED)
    ]
