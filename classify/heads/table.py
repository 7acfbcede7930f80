"""The table of heads: what `fit-head --model NAME` may say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cache.errors import UserError
from classify.heads.fitting import fitters
from classify.heads.fitting.tasks import Fitter
from classify.heads.users_code import made_by

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Grid = dict[str, list[Any]]
EXACT_KERNEL_ROWS = 10_000  # above, a fold's float64 Gram matrix passes 0.8 GB and libsvm takes minutes a fit
_C = [1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0]
_ALPHA = [1e5, 3e4, 1e4, 3e3, 1e3, 1e2, 10.0]
_SHRINKAGE = [0.9, 0.7, 0.5, 0.3, 0.1]
_SCALED = ("standard", "length", "root")
_ALL = (*_SCALED, "none")
NYSTROEM = 1_000  # landmarks of the approximate kernel


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
    fitter : Fitter
        How all candidates are fitted; `fitters.each` suits every classifier.
    large : Head, optional
        What takes its place above `EXACT_KERNEL_ROWS` training rows.
    users_own : bool
        Not of the table: which columns of a row it uses is its own affair.
    """

    name: str
    make: Callable[[], Pipeline]
    grid: Callable[[int], Grid]
    rank: int
    fitter: Fitter = fitters.each
    large: Head | None = None
    users_own: bool = False

    def for_rows(self, n: int) -> Head:
        """Return the head to use on n training rows."""
        return self.large if self.large is not None and n > EXACT_KERNEL_ROWS else self


def _pipeline(classifier: Any, *before: tuple[str, Any]) -> Pipeline:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    return Pipeline([("scale", StandardScaler()), *before, ("classify", classifier)])


def _centroid() -> Pipeline:
    from sklearn.neighbors import NearestCentroid

    return _pipeline(NearestCentroid())


def _ridge() -> Pipeline:
    from sklearn.linear_model import RidgeClassifier

    return _pipeline(RidgeClassifier())


def _lda() -> Pipeline:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return _pipeline(LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5))


def _logreg() -> Pipeline:
    from sklearn.linear_model import LogisticRegression

    # At a tolerance of 1e-4 the answer still depends on the way the solver took (0.3 %
    # of cross-validated accuracy on 2,580 x 1280).
    return _pipeline(LogisticRegression(tol=3e-5, max_iter=1000))


def _svm_linear() -> Pipeline:
    from classify.heads.fitting.estimators import DuelSVC

    # SVC and not LinearSVC: on 2,064 x 1280 embeddings the whole path over C costs one Gram matrix and less
    # than 0.2 s a value, where liblinear took 1.4 s (C = 1e-4) to 40 s (C = 0.1), at equal or lower accuracy.
    return _pipeline(DuelSVC(kernel="linear"))


def _svm() -> Pipeline:
    from classify.heads.fitting.estimators import DuelSVC

    return _pipeline(DuelSVC(kernel="rbf"))


def _liblinear() -> Pipeline:
    from sklearn.svm import LinearSVC

    return _pipeline(LinearSVC(dual=False, tol=1e-3))


def _nystroem() -> Pipeline:
    from sklearn.kernel_approximation import Nystroem
    from sklearn.svm import LinearSVC

    kernel = Nystroem(n_components=NYSTROEM, random_state=0)
    return _pipeline(LinearSVC(dual=False, tol=1e-3), ("kernel", kernel))


def _knn() -> Pipeline:
    from classify.heads.fitting.estimators import Neighbours

    return _pipeline(Neighbours(weights="distance", algorithm="brute"))


def _mlp() -> Pipeline:
    from sklearn.neural_network import MLPClassifier

    # The tutorials' dense heads, for ten epochs. Scikit-learn has no batch normalisation: standardised inputs
    # stand for it.
    return _pipeline(MLPClassifier(max_iter=10, random_state=0))


def _strengths(name: str, values: Sequence[float], *scales: str) -> Callable[[int], Grid]:
    """A grid over one parameter of the classifier and, where named, the scaling before it."""

    def grid(width: int) -> Grid:
        from classify.heads.fitting.scaling import scalings

        return {"scale": scalings(*scales), f"classify__{name}": list(values)}

    return grid


def _scales_only(width: int) -> Grid:
    from classify.heads.fitting.scaling import scalings

    return {"scale": scalings(*_ALL)}


def _svm_grid(width: int) -> Grid:
    from classify.heads.fitting.scaling import scalings

    # Scaled features have a mean square of 1, so 1 / width is scikit-learn's gamma="scale".
    return {
        "scale": scalings("standard", "length"),
        "classify__C": [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0],
        "classify__gamma": [0.1 / width, 0.3 / width, 1.0 / width],
    }


def _nystroem_grid(width: int) -> Grid:
    return {"kernel__gamma": [0.1 / width, 0.3 / width], "classify__C": [0.1, 1.0, 10.0]}


_LARGE_LINEAR = Head("svm-linear", _liblinear, _strengths("C", [1e-4, 1e-3, 1e-2], "standard", "root"), 4)

# In the order in which `all` tries them: where time is short, those that most often win come first.
HEADS: dict[str, Head] = {
    head.name: head
    for head in (
        Head("logreg", _logreg, _strengths("C", _C, *_ALL), 3, fitters.logistic),
        Head("svm", _svm, _svm_grid, 6, fitters.kernel, large=Head("svm", _nystroem, _nystroem_grid, 6)),
        Head("lda", _lda, _strengths("shrinkage", _SHRINKAGE, *_ALL), 2, fitters.lda),
        Head("ridge", _ridge, _strengths("alpha", _ALPHA, *_ALL), 1, fitters.ridge),
        Head(
            "svm-linear", _svm_linear, _strengths("C", _C, *_SCALED), 4, fitters.kernel, large=_LARGE_LINEAR
        ),
        Head("knn", _knn, _strengths("n_neighbors", [20, 10, 5, 3, 1], *_ALL), 5, fitters.neighbours),
        Head("centroid", _centroid, _scales_only, 0),
        Head("mlp", _mlp, lambda width: {"classify__hidden_layer_sizes": [(1024,), (2048, 1024)]}, 7),
    )
}

# A small search, to compare sets of networks with: what tells them apart need not be the best that one can reach.
PROBE = replace(HEADS["logreg"], grid=_strengths("C", [3e-2, 3e-1], "length"))


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
    unknown = [name for name in wanted if name not in table and ":" not in name]
    if unknown or not wanted:
        received = ", ".join(repr(name) for name in unknown) or "no name"
        raise UserError(
            f"Expected --model to name one of {', '.join(table)}, all, or module:factory; received {received}."
        )
    return [table[name] if name in table else own_head(name) for name in dict.fromkeys(wanted)]


def own_head(name: str) -> Head:
    """Make a head of the user's: ``module:factory``, where the factory returns an unfitted classifier.

    It may return a pair, the classifier and a grid (parameter name to values). The module is looked for in the
    current folder first. A Pipeline is taken as it is; nothing is put before anything else either.

    Raises
    ------
    UserError
        When there is no such module or factory, it raises anything, or returns no classifier.
    """
    from sklearn.base import BaseEstimator, is_classifier
    from sklearn.pipeline import Pipeline

    made = made_by(name)
    made, grid = made if isinstance(made, tuple) else (made, {})
    if not isinstance(made, BaseEstimator) or not is_classifier(made):
        raise UserError(
            f"Expected {name} to return a scikit-learn classifier, received {type(made).__name__}."
        )
    pipeline = made if isinstance(made, Pipeline) else Pipeline([("classify", made)])
    prefixed = (
        grid if isinstance(made, Pipeline) else {f"classify__{key}": value for key, value in grid.items()}
    )
    return Head(name, lambda: pipeline, lambda width: prefixed, rank=len(HEADS), users_own=True)
