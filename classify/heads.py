"""The table of heads: what `fit-head --model NAME` may say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from classify import paths

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Grid = dict[str, list[Any]]


@dataclass(frozen=True)
class Head:
    """A named classifier on embeddings, with the settings its search tries.

    Parameters
    ----------
    name : str
        What the user types.
    make : callable () -> Pipeline
        Returns an unfitted scikit-learn Pipeline whose last step is the classifier.
    grid : callable (D) -> dict of parameter name to list of values
        Ordered from most to least regularised, so that the first of equal candidates is the simplest.
        Receives D, the embedding width, because a kernel's natural length grows with it.
    rank : int
        Simplicity: of two heads with equal cross-validated accuracy the lower rank wins.
    path : paths.Path
        How one fold is fitted for all candidates; `paths.each` suits every classifier.
    """

    name: str
    make: Callable[[], Pipeline]
    grid: Callable[[int], Grid]
    rank: int
    path: paths.Path = paths.each


def _scaled(classifier: Any) -> Pipeline:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    return Pipeline([("scale", StandardScaler()), ("classify", classifier)])


def _logreg() -> Pipeline:
    from sklearn.linear_model import LogisticRegression

    # At scikit-learn's tolerance of 1e-4 the solution for a large C still depends on where it started (0.3 %
    # of cross-validated accuracy on 2,580 x 1280); here warm and cold starts agree within 0.1 %.
    return _scaled(LogisticRegression(tol=3e-5, max_iter=1000))


def _svm() -> Pipeline:
    from sklearn.svm import SVC

    # break_ties makes `predict` the argmax of `decision_function`, the one rule used everywhere here.
    return _scaled(SVC(kernel="rbf", break_ties=True))


def _svm_linear() -> Pipeline:
    from sklearn.svm import SVC

    # SVC and not LinearSVC: on 2,064 x 1280 embeddings the whole path over C costs one Gram matrix and less
    # than 0.2 s a value, where liblinear took 1.4 s (C = 1e-4) to 40 s (C = 0.1), at equal or lower accuracy.
    return _scaled(SVC(kernel="linear", break_ties=True))


def _logreg_grid(width: int) -> Grid:
    return {"classify__C": [1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0]}


def _svm_grid(width: int) -> Grid:
    # Scaled features have variance 1, so 1 / width is scikit-learn's gamma="scale", written as a number.
    return {
        "classify__C": [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0],
        "classify__gamma": [0.1 / width, 0.3 / width, 1.0 / width],
    }


def _svm_linear_grid(width: int) -> Grid:
    return {"classify__C": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0]}


HEADS: dict[str, Head] = {
    head.name: head
    for head in (
        Head("logreg", _logreg, _logreg_grid, rank=0, path=paths.warm),
        Head("svm-linear", _svm_linear, _svm_linear_grid, rank=1, path=paths.kernel),
        Head("svm", _svm, _svm_grid, rank=2, path=paths.kernel),
    )
}


def select(names: Iterable[str], table: dict[str, Head] = HEADS) -> Sequence[Head]:
    """Look heads up by name; "all" stands for every one.

    Returns
    -------
    heads : sequence of Head, each once, in the order asked for.

    Raises
    ------
    UserError
        For an unknown name, or when no name is given.
    """
    wanted = [each for name in names for each in (table if name == "all" else [name])]
    unknown = [name for name in wanted if name not in table]
    if unknown or not wanted:
        received = ", ".join(repr(name) for name in unknown) or "no name"
        raise UserError(f"Expected --model to name one of {', '.join(table)} or all, received {received}.")
    return [table[name] for name in dict.fromkeys(wanted)]
