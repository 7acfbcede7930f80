"""Kernel support vector machines as matrix products over their support vectors, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from classify.models.linear import row_scaling

if TYPE_CHECKING:
    from classify.heads.calibration import CalibratedHead


@dataclass(frozen=True, eq=False)
class KernelHead:
    """Scores from S support vectors s: exp(-gamma |z - s|^2) @ kernel + bias.

    z is (scale_rows(X, scaling, widths) - mean) / scale. Where `support` is None, the scores are z @ kernel + bias.
    With `duels` they are margins of P duels in the order of `estimators.weakest_duel`, and the logit of a class is its
    weakest duel; otherwise P = C and they are the logits. With two classes P = 1, positive for the second.
    """

    scaling: str  # "none", "length" or "root"
    mean: np.ndarray  # (D,)
    scale: np.ndarray  # (D,)
    support: np.ndarray | None  # (S, D)
    gamma: float
    kernel: np.ndarray  # (S, P), or (D, P) without support vectors; the temperature is part of it
    bias: np.ndarray  # (P,)
    duels: bool
    classes: tuple[str, ...]
    widths: tuple[int, ...] = ()


def expand(head: CalibratedHead) -> KernelHead | None:
    """Write a support vector machine down as matrices.

    Returns
    -------
    KernelHead or None
        Of a `DuelSVC` with RBF or linear kernel, or of a Nystroem kernel (RBF) and a linear machine, behind a
        scaling of `classify.heads.fitting.scaling`; None for anything else.
    """
    from sklearn.kernel_approximation import Nystroem
    from sklearn.svm import LinearSVC

    from classify.heads.fitting.estimators import DuelSVC

    steps = [step for _, step in head.pipeline.steps]
    model, classes = steps[-1], tuple(head.classes_.tolist())
    support: np.ndarray | None
    if type(model) is DuelSVC and model.kernel in ("rbf", "linear"):
        scaled = row_scaling(steps[:-1], model.n_features_in_)
        # sklearn has no public name for what "scale" and "auto" came to
        kernel, support, gamma = _pairwise(model), model.support_vectors_, model._gamma
        if model.kernel == "linear":
            kernel, support = support.T @ kernel, None
    elif len(steps) > 1 and type(steps[-2]) is Nystroem and type(model) is LinearSVC:
        landmarks = steps[-2]
        if landmarks.kernel != "rbf" or landmarks.gamma is None:
            return None
        scaled = row_scaling(steps[:-2], landmarks.n_features_in_)
        kernel, support, gamma = (
            landmarks.normalization_.T @ model.coef_.T,
            landmarks.components_,
            landmarks.gamma,
        )
    else:
        return None
    if scaled is None:
        return None
    bias = np.asarray(model.intercept_, np.float64) / head.temperature
    duels = type(model) is DuelSVC
    kernel = kernel / head.temperature
    scaling, mean, scale, widths = scaled
    return KernelHead(scaling, mean, scale, support, float(gamma), kernel, bias, duels, classes, widths)


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
