"""How the candidates of a head are fitted on one fold: each alone, along C, or from one Gram matrix.

A path yields (candidate number, scores) as candidates finish. N rows to fit, M rows to score, D features,
C classes; `Z` (N, D) and `V` (M, D) are already scaled, by a scaler fitted on Z alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from classify.scores import class_scores

Params = dict[str, Any]
Fitted = tuple[int, np.ndarray]
Path = Callable[[Any, Sequence[Params], np.ndarray, np.ndarray, np.ndarray], Iterator[Fitted]]

# Above this many rows a fold's distances (float32) and Gram matrix (float64) pass 1.2 GB, and there may be
# several folds at once.
GRAM_ROWS = 10_000


def each(
    classifier: Any, candidates: Sequence[Params], Z: np.ndarray, y: np.ndarray, V: np.ndarray
) -> Iterator[Fitted]:
    """Fit every candidate from scratch: right for any scikit-learn classifier."""
    from sklearn.base import clone

    for number, params in enumerate(candidates):
        yield number, class_scores(clone(classifier).set_params(**params).fit(Z, y), V)


def warm(
    classifier: Any, candidates: Sequence[Params], Z: np.ndarray, y: np.ndarray, V: np.ndarray
) -> Iterator[Fitted]:
    """Fit in order of rising C, each starting at the solution before it (a regularisation path)."""
    from sklearn.base import clone

    model = clone(classifier).set_params(warm_start=True)
    for number in sorted(range(len(candidates)), key=lambda i: candidates[i]["C"]):
        yield number, class_scores(model.set_params(**candidates[number]).fit(Z, y), V)


def kernel(
    classifier: Any, candidates: Sequence[Params], Z: np.ndarray, y: np.ndarray, V: np.ndarray
) -> Iterator[Fitted]:
    """Fit an SVC (linear or RBF kernel) on Gram matrices that BLAS computed once for all values of C.

    libsvm computes the same kernel values one dot product at a time, again for each pair of classes and each
    candidate; that is nearly all of its time on wide embeddings.
    """
    from sklearn.base import clone

    if len(Z) > GRAM_ROWS:
        warnings.warn(
            f"above {GRAM_ROWS:,} rows every setting is fitted from scratch: slow; logreg suits large data",
            stacklevel=2,
        )
        yield from each(classifier, candidates, Z, y, V)
        return
    linear = classifier.kernel == "linear"
    basis, basis_v = (Z @ Z.T, V @ Z.T) if linear else (_squared_distances(Z, Z), _squared_distances(V, Z))
    groups: dict[float | None, list[int]] = {}
    for number, params in enumerate(candidates):
        groups.setdefault(params.get("gamma"), []).append(number)
    for gamma, numbers in groups.items():
        gram, gram_v = _gram(basis, gamma), _gram(basis_v, gamma)
        settled = None
        for number in sorted(numbers, key=lambda i: candidates[i]["C"]):
            if settled is None:
                bound = candidates[number]["C"]
                model = clone(classifier).set_params(kernel="precomputed", C=bound).fit(gram, y)
                scores = class_scores(model, gram_v)
                # No multiplier at its bound C: a larger C bounds nothing either, so the optimum is the same.
                if np.abs(model.dual_coef_).max() < bound * (1 - 1e-6):
                    settled = scores
            yield number, scores


def _squared_distances(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """|a - b|^2 of all pairs, (len(A), len(B)), as |a|^2 + |b|^2 - 2 a.b: one BLAS product, O(n^2 D)."""
    distances = A @ B.T
    distances *= -2
    distances += np.einsum("nd,nd->n", A, A)[:, None]
    distances += np.einsum("nd,nd->n", B, B)
    return np.maximum(distances, 0, out=distances)


def _gram(basis: np.ndarray, gamma: float | None) -> np.ndarray:
    """The float64 matrix libsvm needs: exp(-gamma * squared distance), or the products themselves."""
    if gamma is None:
        return basis.astype(np.float64)
    return np.exp(basis * -gamma, dtype=np.float32).astype(np.float64)
