"""Classifiers on rows wider than they are many, fitted from the Gram matrix of the rows.

What comes out is scikit-learn's own object, with the answer that its own fit leads to: `logreg` within its
tolerance, `lda` without the (D, D) covariance that it keeps and never uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from classify.heads.fitting.logistic import solve

Fit = Callable[[Any, np.ndarray, np.ndarray, np.ndarray | None], Any]


def quick_fit(classifier: Any, shape: tuple[int, ...]) -> Fit | None:
    """The function (classifier, Z, y, weight) that fits it on rows of that shape; None where its own is as good."""
    if shape[1] <= shape[0]:
        return None
    if type(classifier) is LogisticRegression and _differs_in_strength_alone(classifier):
        return _logistic
    if type(classifier) is LinearDiscriminantAnalysis and _is_shrunk(classifier):
        return _lda
    return None


def _differs_in_strength_alone(classifier: LogisticRegression) -> bool:
    plain = LogisticRegression(C=classifier.C, tol=classifier.tol, max_iter=classifier.max_iter)
    return plain.get_params() == classifier.get_params()


def _is_shrunk(classifier: LinearDiscriminantAnalysis) -> bool:
    shrinkage = classifier.shrinkage
    plain = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    return isinstance(shrinkage, float) and shrinkage > 0 and plain.get_params() == classifier.get_params()


def _logistic(
    classifier: LogisticRegression, Z: np.ndarray, y: np.ndarray, weight: np.ndarray | None
) -> LogisticRegression:
    """Begin scikit-learn's fit at our solution, where it ends as soon as it finds it solved."""
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        return classifier.fit(Z, y, weight)
    kernel, intercept = solve(
        np.asarray(Z, np.float32),
        codes,
        len(classes),
        [np.arange(len(Z))],
        [classifier.C],
        standardise=False,
        weight=weight,
        tol=classifier.tol,
        max_iter=classifier.max_iter,
    )
    classifier.coef_, classifier.intercept_ = kernel[0].T.astype(Z.dtype), intercept[0].astype(Z.dtype)
    return classifier.set_params(warm_start=True).fit(Z, y, weight).set_params(warm_start=False)


def _lda(
    classifier: LinearDiscriminantAnalysis, Z: np.ndarray, y: np.ndarray, weight: np.ndarray | None
) -> LinearDiscriminantAnalysis:
    classes, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    if len(classes) < 2 or len(classes) == len(Z):
        return classifier.fit(Z, y)
    Z = np.asarray(Z, np.float64)
    means = np.stack([Z[codes == code].mean(axis=0) for code in range(len(classes))])
    prior = counts / len(Z)
    [coef] = shrunk_discriminants(Z - means[codes], means, [classifier.shrinkage])
    intercept = -0.5 * np.einsum("cd,cd->c", means, coef) + np.log(prior)
    if len(classes) == 2:
        coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
    classifier.classes_, classifier.priors_, classifier.means_ = classes, prior, means
    classifier.coef_, classifier.intercept_, classifier.n_features_in_ = coef, intercept, Z.shape[1]
    return classifier


def shrunk_discriminants(
    centred: np.ndarray, means: np.ndarray, shrinkages: Sequence[float]
) -> Iterator[np.ndarray]:
    """Solve (1 - s) S + s (tr S / D) I for the means, S = centred' centred / n, one Cholesky factor a shrinkage s.

    Of D and n the smaller is the size of what is factorised; for n it is Woodbury's identity (Golub and Van Loan
    2013, section 2.1.4).

    Parameters
    ----------
    centred : (n, D) float64
        Rows less the mean of their class.
    means : (C, D) float64
    shrinkages : sequence of float
        Each above 0 where D > n.

    Yields
    ------
    coef : (C, D) float64
    """
    n, width = centred.shape
    wide = width > n
    scatter = (centred @ centred.T if wide else centred.T @ centred) / n
    level = np.trace(scatter) / width
    right = centred @ means.T if wide else means.T
    for shrinkage in shrinkages:
        within = (1 - shrinkage) * scatter
        np.einsum("ii->i", within)[:] += shrinkage * level
        solved = cho_solve(
            cho_factor(within, overwrite_a=True, check_finite=False), right, check_finite=False
        )
        if wide:
            solved = (means.T - (1 - shrinkage) / n * (centred.T @ solved)) / (shrinkage * level)
        yield solved.T
