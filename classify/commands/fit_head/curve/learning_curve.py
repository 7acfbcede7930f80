"""Accuracy against the number of labels, from the training part alone."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cache.frame import COUNT, NUMBER, frame
from cache.text import counted
from classify.commands.fit_head.curve.power_law import Forecast, forecast
from classify.data.labelled import Labelled, in_all_views
from classify.data.rows.blocks import Rows, by_blocks
from classify.data.rows.streamed import Streamed
from classify.heads.fitting.fitters import fit_kernel, fit_weighted
from classify.heads.fitting.scores import class_scores
from classify.heads.fitting.tasks import Fold
from classify.heads.table import EXACT_KERNEL_ROWS
from classify.metrics.intervals import wilson_of_variance
from extract.machine import usable_cores

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

# Share of the labels, and how many draws of that many: small samples differ most, and cost least.
SHARES = ((0.01, 4), (0.02, 4), (0.05, 3), (0.1, 3), (0.2, 2), (0.5, 1), (1.0, 1))


@dataclass(frozen=True)
class Point:
    """`accuracy` with `size` labels, its 95 % interval, and the accuracy of each draw (k,)."""

    share: float
    size: int
    accuracy: float
    low: float
    high: float
    draws: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain Python values."""
        return {**vars(self), "draws": self.draws.tolist()}


@dataclass(frozen=True)
class LearningCurve:
    """Points by rising size; each accuracy is over `n` rows, every one held out once a draw."""

    head: str
    n: int
    folds: int
    points: tuple[Point, ...]
    forecast: Forecast | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain Python values."""
        return {
            "head": self.head,
            "n": self.n,
            "folds": self.folds,
            "points": [point.to_json() for point in self.points],
            "forecast": self.forecast.to_json() if self.forecast else None,
            "sentence": self.sentence(),
            "notes": list(self.notes),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the points as a DataFrame, one a row, by rising size.

        Columns: `share` (float64, of the labels, 0 to 1), `size` (int64, labels), `accuracy` with its 95 % interval
        `low`, `high` (float64, 0 to 1), `draws` (int64, how many the accuracy is the mean of).
        """
        columns = {"share": NUMBER, "size": COUNT} | dict.fromkeys(("accuracy", "low", "high"), NUMBER)
        records = [vars(point) | {"draws": len(point.draws)} for point in self.points]
        return frame(columns | {"draws": COUNT}, records)

    def sentence(self) -> str:
        """Say what more labels would probably buy."""
        if self.forecast is None:
            return "The curve does not say what more labels would bring: too few sizes, or no steady course."
        return self.forecast.sentence()


def learning_curve(
    name: str,
    pipeline: Pipeline,
    data: Labelled,
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    whole: np.ndarray | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
    most: float = np.inf,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> LearningCurve:
    """Fit a head with fixed settings on growing parts of each fold and score it on the rows held out.

    The growing parts are stratified, and within a draw each contains the smaller ones. With all labels, the
    accuracy is the cross-validated one, rows counted alike. The interval has two sources: the n rows scored,
    and the spread between draws.

    Parameters
    ----------
    name : str
        Of the head, to be reported.
    pipeline : Pipeline
        With its settings; it is cloned, fitted or not.
    data : Labelled
        The training part only; its groups are in `parts`.
    parts : sequence of (rows to fit, rows held out)
        Of each fold, int arrays; `SearchResult.folds`. Every row is held out once.
    whole : (n,) bool array, optional
        Whether each row was right, held out, with all other folds' labels: known from the search already.
    seed : int
        Of the draws.
    n_jobs : int, optional
        Threads; default: the cores this process may use. The result does not depend on it.
    most : float
        Rows that memory has room for: sizes of more, but for all labels, are left out.
    on_progress : callable (done, total)
        Called after every fold of every draw.

    Returns
    -------
    curve : LearningCurve
        Without the sizes that leave a class without a row, or that the head cannot be fitted on; `notes` say
        which.
    """
    from threadpoolctl import threadpool_limits

    X, codes = data.X, np.unique(data.y, return_inverse=True)[1]
    all_rows, all_codes, all_weight = data.in_all_views(codes)
    shares, notes = _possible(codes, parts, most if whole is not None else np.inf)
    draws = max((k for _, k in shares), default=0)
    hits = np.zeros((len(shares), draws, len(codes)), bool)
    failed: dict[int, str] = {}
    if whole is not None and shares and shares[-1][0] == 1:
        hits[-1, 0] = whole

    def run(draw: int, fold: int) -> None:
        fit, held = parts[fold]
        order = fit[nested_order(codes[fit], np.random.default_rng([seed, draw, fold]))]
        for number, (share, times) in enumerate(shares):
            known = share == 1 and whole is not None
            if draw < times and number not in failed and not known:
                rows = order[: _size(share, len(fit))]
                try:
                    fitted = rows if data.views is None else in_all_views(rows, len(X), len(data.views))
                    weights = None if all_weight is None else all_weight[fitted]
                    tested = X.select(held) if isinstance(X, Streamed) else X[held]
                    found = _predict(pipeline, all_rows[fitted], all_codes[fitted], tested, weights)
                    hits[number, draw, held] = found == codes[held]
                except ValueError as error:  # such as fewer rows than neighbours asked for
                    failed[number] = str(error).splitlines()[0]

    tasks = [(draw, fold) for draw in range(draws) for fold in range(len(parts))]
    with (
        warnings.catch_warnings(record=True) as caught,
        threadpool_limits(1),
        ThreadPoolExecutor(n_jobs or usable_cores()) as pool,
    ):
        warnings.simplefilter("always")
        futures = [pool.submit(run, *task) for task in tasks]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                on_progress(done, len(tasks))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    least = min(len(fit) for fit, _ in parts)
    notes += [f"{counted(_size(shares[i][0], least), 'label')}: {why}" for i, why in sorted(failed.items())]
    lines = Counter(str(warning.message).splitlines()[0] for warning in caught)
    notes += [f"warned {counted(n, 'time')}: {line}" for line, n in lines.items()]
    kept = [i for i in range(len(shares)) if i not in failed]
    points, covariance = _points([(*shares[i], hits[i]) for i in kept], least)
    sizes, accuracy = np.array([p.size for p in points]), np.array([p.accuracy for p in points])
    law = forecast(sizes, accuracy, covariance, seed=seed) if points else None
    return LearningCurve(name, len(codes), len(parts), tuple(points), law, tuple(notes))


def nested_order(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Order rows so that every start of the order is a stratified sample.

    Parameters
    ----------
    codes : (n,) int array of classes
    rng : Generator

    Returns
    -------
    order : (n,) int array; its first m rows hold each class in proportion, to within one row.
    """
    shuffled = rng.permutation(len(codes))
    by_class = shuffled[np.argsort(codes[shuffled], kind="stable")]
    counts = np.bincount(codes)
    of = codes[by_class]
    rank = np.arange(len(codes)) - (np.cumsum(counts) - counts)[of]
    return by_class[np.argsort((rank + 0.5) / counts[of], kind="stable")]


def _size(share: float, n: int) -> int:
    return max(1, round(share * n))


def _possible(
    codes: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]], most: float
) -> tuple[list[tuple[float, int]], list[str]]:
    """The shares at which no fold lacks a class that its training rows have, and that `most` rows are enough for."""
    kept, notes = [], []
    orders = [(fit, nested_order(codes[fit], np.random.default_rng(0))) for fit, _ in parts]
    for share, draws in SHARES:
        sizes = [_size(share, len(fit)) for fit, _ in parts]
        # Which class a place of the order goes to does not depend on the draw.
        lacks = [
            len(np.unique(codes[fit])) - len(np.unique(codes[fit[order[:size]]]))
            for (fit, order), size in zip(orders, sizes, strict=True)
        ]
        if most < max(sizes) and share < 1:
            notes.append(
                f"{counted(min(sizes), 'label')} ({share:.0%}) are more than --max-memory-gb has room for"
            )
        elif max(lacks) or min(sizes) < 2:
            notes.append(
                f"{counted(min(sizes), 'label')} ({share:.0%}) {'is' if min(sizes) == 1 else 'are'} too few: "
                f"{counted(max(lacks), 'class', 'classes')} would have none"
            )
        else:
            kept.append((share, draws))
    return kept, notes


def _points(found: list[tuple[float, int, np.ndarray]], least: int) -> tuple[list[Point], np.ndarray]:
    """Accuracy and interval of each size, and the covariance (s, s) of the accuracies."""
    points, rates, spread = [], [], []
    one_draw = 0.0
    for share, times, hits in found:
        hits = hits[:times]
        n, each = hits.shape[1], hits.mean(axis=1)
        accuracy = float(each.mean())
        # A single draw does not show its spread: that of the size before stands for it.
        one_draw = float(each.var(ddof=1)) if times > 1 else one_draw
        between = one_draw / times
        guess = (accuracy * n + 1) / (n + 2)
        low, high = wilson_of_variance(accuracy, guess * (1 - guess) / n + between, guess)
        points.append(Point(share, _size(share, least), accuracy, low, high, each))
        rates.append(hits.mean(axis=0))
        # At least a little, or equal points would leave the covariance without an inverse.
        spread.append(between + guess * (1 - guess) / n * 1e-2)
    if not points:
        return points, np.zeros((0, 0))
    rows = np.cov(np.stack(rates), ddof=1).reshape(len(points), -1) / len(rates[0])
    return points, rows + np.diag(spread)


def _predict(
    pipeline: Pipeline, Z: np.ndarray, y: np.ndarray, V: Rows, weight: np.ndarray | None
) -> np.ndarray:
    """Fit on (N, D) rows and predict (M, D) rows, by the argmax of the scores."""
    from sklearn.base import clone
    from sklearn.svm import SVC

    model = clone(pipeline)
    last = model[-1]
    kind = last.kernel if isinstance(last, SVC) else ""
    known_gamma = kind == "rbf" and not isinstance(last.gamma, str)
    if not (kind == "linear" or known_gamma) or len(Z) > EXACT_KERNEL_ROWS:
        fit_weighted(model, Z, y, weight)
        return model.classes_[by_blocks(V, lambda block, _: class_scores(model, block)).argmax(axis=1)]
    if len(model) > 1:
        before = model[:-1].fit(Z, y)
        Z, V = before.transform(Z), before.transform(V)
    fold, params = Fold(Z, y, V, weight), {"C": last.C} | ({"gamma": last.gamma} if known_gamma else {})
    [(_, scores)] = fit_kernel(last, [(0, params)], fold)
    return fold.columns[scores.argmax(axis=1)]
