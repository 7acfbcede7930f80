"""How the candidates of a head are fitted: each alone, or with what they have in common done once.

Each function fits all candidates on one fold and yields (candidate number, scores) as they finish.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classify.heads.fitting.logistic import solve
from classify.heads.fitting.scaling import split_scaling
from classify.heads.fitting.scores import class_scores, squared_distances, vote_scores, with_first_at_zero
from classify.heads.fitting.tasks import Fold, Params, Result, Task, Work, by_fold
from classify.heads.fitting.wide import quick_fit, shrunk_discriminants

BLOCK_BYTES = 128 * 2**20  # of the scores that one task of `logistic` works on
Candidates = Sequence[tuple[int, Params]]
Fitted = Iterator[tuple[int, np.ndarray]]


def fit_each(classifier: Any, candidates: Candidates, fold: Fold) -> Fitted:
    """Fit every candidate from scratch: right for any scikit-learn classifier."""
    from sklearn.base import clone

    for number, params in candidates:
        model = clone(classifier).set_params(**params)
        yield number, class_scores(fit_weighted(model, fold.Z, fold.y, fold.weight), fold.V)


def fit_kernel(classifier: Any, candidates: Candidates, fold: Fold) -> Fitted:
    """Fit an SVC (linear or RBF kernel) on Gram matrices that BLAS computed once for all values of C.

    libsvm computes the same kernel values one dot product at a time, again for each pair of classes and each
    candidate; that is nearly all of its time on wide embeddings.
    """
    from sklearn.base import clone

    Z, V = fold.Z, fold.V
    linear = classifier.kernel == "linear"
    basis, basis_v = (Z @ Z.T, V @ Z.T) if linear else (squared_distances(Z, Z), squared_distances(V, Z))
    groups: dict[float | None, list[tuple[float, int]]] = {}
    for number, params in candidates:
        groups.setdefault(params.get("gamma"), []).append((params["C"], number))
    for gamma, members in groups.items():
        gram, gram_v = _gram(basis, gamma), _gram(basis_v, gamma)
        free, unbound = np.inf, np.empty(0)
        # From the middle upwards, then the small ones: should time run out, the likely ones have been tried.
        middle = sorted(members)[len(members) // 2][0]
        for C, number in sorted(members, key=lambda member: (member[0] < middle, member[0])):
            if free < C:
                scores = unbound
            else:
                model = clone(classifier).set_params(kernel="precomputed", C=C)
                scores = class_scores(fit_weighted(model, gram, fold.y, fold.weight), gram_v)
                largest = np.abs(model.dual_coef_).max()
                # No multiplier at its bound C: any other C above them all binds none either, with the same optimum.
                if fold.weight is None and largest < C * (1 - 1e-6):
                    free, unbound = largest * (1 + 1e-6), scores
            yield number, scores


def fit_ridge(classifier: Any, candidates: Candidates, fold: Fold) -> Fitted:
    """Fit a RidgeClassifier from one Gram matrix: a Cholesky factor a strength, whatever the number of rows.

    Minimises |(Z - mean) W - (T - mean)|^2 + alpha |W|^2 with targets T of -1 and 1; in float64.
    """
    from scipy.linalg import cho_factor, cho_solve

    n, width = fold.Z.shape
    target = np.where(fold.y[:, None] == fold.columns, 1.0, -1.0)
    if len(fold.columns) == 2:
        target = target[:, 1:]
    share = np.ones(n) if fold.weight is None else fold.weight.astype(np.float64)
    centre = np.average(fold.Z, axis=0, weights=share)
    level = np.average(target, axis=0, weights=share)
    root = np.sqrt(share)[:, None]
    Z, T = (fold.Z - centre) * root, (target - level) * root
    wide = width > n
    gram = Z @ Z.T if wide else Z.T @ Z
    right = T if wide else Z.T @ T
    diagonal = np.einsum("ii->i", gram)
    before = diagonal.copy()
    for number, params in candidates:
        diagonal[:] = before + params["alpha"]
        solved = cho_solve(cho_factor(gram, check_finite=False), right, check_finite=False)
        coef = Z.T @ solved if wide else solved
        scores = (fold.V - centre) @ coef + level
        yield number, with_first_at_zero(scores)


def fit_lda(classifier: Any, candidates: Candidates, fold: Fold) -> Fitted:
    """Fit a shrunk LinearDiscriminantAnalysis from one within-class covariance or Gram matrix.

    Hastie, Tibshirani, Friedman 2009, section 4.3, with the covariance of `shrunk_discriminants`; the solver
    "lsqr" of scikit-learn computes the same by a singular value decomposition for each shrinkage.
    """
    Z, columns = fold.Z.astype(np.float64), fold.columns
    means = np.stack([Z[fold.y == code].mean(axis=0) for code in columns])
    prior = np.array([(fold.y == code).mean() for code in columns])
    Z -= means[np.searchsorted(columns, fold.y)]
    shrinkages = [params["shrinkage"] for _, params in candidates]
    for (number, _), coef in zip(candidates, shrunk_discriminants(Z, means, shrinkages), strict=True):
        intercept = -0.5 * np.einsum("cd,cd->c", means, coef) + np.log(prior)
        scores = fold.V @ coef.T + intercept
        if len(columns) == 2:
            margin = scores[:, 1] - scores[:, 0]
            scores = np.stack([np.zeros_like(margin), margin], axis=1)
        yield number, scores


def fit_neighbours(classifier: Any, candidates: Candidates, fold: Fold) -> Fitted:
    """Fit a KNeighborsClassifier (Euclidean) for every k from one table of nearest neighbours."""
    most = max(params["n_neighbors"] for _, params in candidates)
    most = min(most, len(fold.Z))
    distances = squared_distances(fold.V, fold.Z)
    nearest = np.argpartition(distances, most - 1, axis=1)[:, :most]
    apart = np.take_along_axis(distances, nearest, axis=1)
    order = np.argsort(apart, axis=1, kind="stable")
    nearest, apart = np.take_along_axis(nearest, order, axis=1), np.take_along_axis(apart, order, axis=1)
    own = fold.y[nearest][:, :, None] == fold.columns
    weights = (
        1 / np.maximum(np.sqrt(apart), 1e-12) if classifier.weights == "distance" else np.ones_like(apart)
    )
    votes = np.cumsum(own * weights[:, :, None], axis=1, dtype=np.float64)
    for number, params in candidates:
        k = min(params["n_neighbors"], most)
        share = votes[:, k - 1] / votes[:, k - 1].sum(axis=1, keepdims=True)
        yield number, vote_scores(share)


def fit_weighted(model: Any, Z: np.ndarray, y: np.ndarray, weight: NDArray[Any] | None) -> Any:
    """Fit a classifier, or a Pipeline that ends in one, with row weights; one that takes none is fitted without."""
    steps = getattr(model, "steps", None)
    weight = weight if takes_weights(model) else None
    quick = quick_fit(steps[-1][1] if steps else model, Z.shape)
    if quick is not None:
        before = model[:-1] if steps and len(steps) > 1 else None  # its steps are the model's own
        quick(steps[-1][1] if steps else model, before.fit_transform(Z, y) if before else Z, y, weight)
        return model
    if weight is None:
        return model.fit(Z, y)
    return model.fit(Z, y, **{f"{steps[-1][0]}__sample_weight" if steps else "sample_weight": weight})


def takes_weights(model: Any) -> bool:
    """Whether the fit of a classifier, or of a Pipeline's last step, has row weights."""
    from sklearn.utils.validation import has_fit_parameter

    steps = getattr(model, "steps", None)
    return has_fit_parameter(steps[-1][1] if steps else model, "sample_weight")


def _gram(basis: np.ndarray, gamma: float | None) -> np.ndarray:
    """The float64 matrix libsvm needs: exp(-gamma * squared distance), or the products themselves."""
    if gamma is None:
        return basis.astype(np.float64)
    return np.exp(basis * -gamma, dtype=np.float32).astype(np.float64)


each, kernel, ridge = by_fold(fit_each), by_fold(fit_kernel), by_fold(fit_ridge)
lda, neighbours = by_fold(fit_lda), by_fold(fit_neighbours)


def logistic(work: Work) -> list[Task]:
    """Fitter of LogisticRegression: problems share their products within a task; two tasks at least, one a core.

    Where a fold lacks a class, or the preprocessing is not one that folds can share, each is fitted alone.
    """
    shared = split_scaling(work.template[0], work.X) if len(work.template.steps) == 2 else None
    whole = all(len(np.unique(work.codes[fit])) == work.classes for fit, _ in work.folds)
    if shared is None or not whole:
        return each(work)
    X, standardise = shared
    pairs = [
        (fold, number, params["C"]) for number, params in work.candidates for fold in range(len(work.folds))
    ]
    columns = work.classes if work.classes > 2 else 1
    wide = X.shape[1] > max(len(fit) for fit, _ in work.folds)
    # On the Gram side a fold's candidates share its Gram matrix, and folds share nothing.
    lots = (
        [[pair for pair in pairs if pair[0] == fold] for fold in range(len(work.folds))] if wide else [pairs]
    )
    fitting = max(1, int(BLOCK_BYTES / (4 * len(X) * columns)))  # problems whose scores fit in one block
    tasks = max(1 if wide else 2, -(-len(lots[0]) // fitting))  # of each lot
    every = np.arange(work.classes)

    def run(mine: list[tuple[int, int, float]]) -> Iterator[list[Result]]:
        fits = [work.folds[fold][0] for fold, _, _ in mine]
        solution = solve(
            X,
            work.codes,
            work.classes,
            fits,
            [C for _, _, C in mine],
            standardise=standardise,
            weight=work.weight,
            tol=work.template[-1].tol,
            max_iter=work.template[-1].max_iter,
        )
        results = []
        for (fold, number, _), kernel, intercept in zip(mine, *solution, strict=True):
            scores = X[work.folds[fold][1]] @ kernel + intercept
            results.append((number, fold, every, with_first_at_zero(scores)))
        yield results

    # Every task gets all strengths: weak ones take longer, and no core should wait for another.
    return [partial(run, lot[start::tasks]) for lot in lots for start in range(tasks) if lot[start::tasks]]
