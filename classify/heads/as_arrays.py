"""A fitted Pipeline written down as arrays: the one place that knows scikit-learn's names for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from classify.heads.arrays import ArrayHead, Arrays
from classify.heads.calibration import CalibratedHead
from classify.heads.fitting.scaling import scaling_name

Found = tuple[str, Arrays]  # a kind of `arrays.KINDS`, and its arrays


def as_arrays(head: CalibratedHead | ArrayHead) -> ArrayHead | None:
    """Write a head down as arrays.

    Returns
    -------
    ArrayHead or None
        Of each head of the table, and of others that are made of the same parts; None for anything else.
    """
    if isinstance(head, ArrayHead):
        return head
    steps: list[Any] = [step for _, step in head.pipeline.steps]
    found, before = _last(steps)
    if found is None or len(before) > 1 or any(scaling_name(step) is None for step in before):
        return None
    kind, arrays = found
    scale: Any = before[0] if before else None
    name = scaling_name(scale) or "none"
    standard = scale[-1] if name == "root" else scale if name == "standard" else None
    return ArrayHead(
        kind=kind,
        arrays=arrays,
        classes_=np.array(head.classes_.tolist()),
        temperature=float(head.temperature),
        n_features_in_=head.n_features_in_,
        scaling=name,
        mean=standard.mean_ if standard else None,
        scale=standard.scale_ if standard else None,
        widths=(scale.widths or ()) if name == "length" else (),
    )


def _last(steps: list[Any]) -> tuple[Found | None, list[Any]]:
    """What the classifier is, and the steps before it; a kernel's map is part of the classifier."""
    from sklearn.kernel_approximation import Nystroem
    from sklearn.svm import LinearSVC

    *before, model = steps
    if before and type(before[-1]) is Nystroem and type(model) is LinearSVC:
        *before, kernel = before
        if kernel.kernel != "rbf" or kernel.gamma is None:
            return None, before
        arrays = {
            "landmarks": kernel.components_,
            "gamma": np.float64(kernel.gamma),
            "projection": kernel.normalization_,
        }
        return ("nystroem", _plain(arrays | _coefficients(model))), before
    return _classifier(model), before


def _classifier(model: Any) -> Found | None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model._base import LinearClassifierMixin
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    from classify.heads.fitting.batch_norm_mlp import BatchNormMLP
    from classify.heads.fitting.estimators import DuelSVC, Neighbours

    kind, linear = type(model), (LinearClassifierMixin, LinearDiscriminantAnalysis)
    if hasattr(model, "centroids_"):
        return "centroids", _plain({"centroids": model.centroids_})
    # Several duels of a plain SVC are counted, not weighed; a single one is itself.
    if kind is DuelSVC or (kind is SVC and len(model.classes_) == 2):
        return _machine(model)
    if kind is BatchNormMLP or (kind is MLPClassifier and model.activation == "relu"):
        arrays = {f"kernel_{at}": kernel for at, kernel in enumerate(model.coefs_, 1)}
        arrays |= {f"bias_{at}": bias for at, bias in enumerate(model.intercepts_, 1)}
        return ("network" if kind is BatchNormMLP else "perceptron"), _plain(arrays)
    if kind is Neighbours and model.weights == "distance":
        arrays = {"rows": model._fit_X, "code": model._y, "most": np.int64(model.n_neighbors)}
        return "neighbours", _plain(arrays)
    if getattr(kind, "decision_function", None) in [each.decision_function for each in linear]:
        return "linear", _plain(_coefficients(model))
    return None


def _coefficients(model: Any) -> dict[str, np.ndarray]:
    coef = np.atleast_2d(model.coef_)  # Ridge of two classes has a vector
    return {"coef": coef, "intercept": np.broadcast_to(np.asarray(model.intercept_), coef.shape[:1])}


def _machine(model: Any) -> Found | None:
    """A support vector machine, of which each pair of classes has its own weights."""
    weight, intercept = _pairwise(model), np.asarray(model.intercept_, np.float64)
    if model.kernel == "linear":
        return "duels", _plain({"coef": weight.T @ model.support_vectors_, "intercept": intercept})
    if model.kernel != "rbf":
        return None
    # scikit-learn has no public name for what "scale" and "auto" came to.
    arrays = {"support": model.support_vectors_, "gamma": np.float64(model._gamma), "weight": weight}
    return "rbf", _plain(arrays | {"intercept": intercept})


def _pairwise(model: Any) -> np.ndarray:
    """Weight of each support vector in each duel, (S, P), from libsvm's (C - 1, S) table.

    There the weights of a vector of class i in its duels with the others stand in the order of the others.
    """
    ends = np.cumsum(model.n_support_)
    own = [slice(end - count, end) for end, count in zip(ends, model.n_support_, strict=True)]
    if len(own) == 2:
        return np.asarray(model.dual_coef_, np.float64).T
    first, second = np.triu_indices(len(own), 1)
    kernel = np.zeros((ends[-1], len(first)))
    for duel, (i, j) in enumerate(zip(first, second, strict=True)):
        kernel[own[i], duel] = model.dual_coef_[j - 1, own[i]]
        kernel[own[j], duel] = model.dual_coef_[i, own[j]]
    return kernel


def _plain(arrays: dict[str, Any]) -> Arrays:
    return {name: np.array(array, order="C") for name, array in arrays.items()}
