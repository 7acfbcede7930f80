"""Dense networks as heads, layer by layer, so that a network can end in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from classify.heads.fitting.scores import LEAST_PROBABILITY
from classify.models.linear import row_scaling

if TYPE_CHECKING:
    from classify.heads.calibration import CalibratedHead


@dataclass(frozen=True, eq=False)
class DenseHead:
    """Scores of C classes from layers x @ kernel + bias, ReLU between them; softmax(scores / temperature) follows.

    The first layer takes scaled rows; standardising is part of it. Where there is a `floor`, the scores are
    logarithms of probabilities, none below it. `widths` are as of a `LinearHead`.
    """

    scaling: str  # "none", "length" or "root"
    kernels: tuple[np.ndarray, ...]  # (D, H), (H, ...), ..., (..., C) float32
    biases: tuple[np.ndarray, ...]  # (H,), ..., (C,) float32
    floor: float | None
    temperature: float
    classes: tuple[str, ...]
    widths: tuple[int, ...] = ()


def unroll(head: CalibratedHead) -> DenseHead | None:
    """Write a multilayer perceptron down as its layers.

    Returns
    -------
    DenseHead or None
        Of a `BatchNormMLP`, or of scikit-learn's MLPClassifier with ReLU, behind one of the scalings of heads; None
        for anything else.
    """
    from sklearn.neural_network import MLPClassifier

    from classify.heads.fitting.batch_norm_mlp import BatchNormMLP

    steps = [step for _, step in head.pipeline.steps]
    model: Any = steps[-1]
    plain = type(model) is MLPClassifier and model.activation == "relu"
    scaled = row_scaling(steps[:-1], head.n_features_in_) if plain or type(model) is BatchNormMLP else None
    if scaled is None:
        return None
    scaling, mean, scale, widths = scaled
    kernels = [np.asarray(kernel, np.float64) for kernel in model.coefs_]
    biases = [np.asarray(bias, np.float64) for bias in model.intercepts_]
    kernels[0] = kernels[0] / scale[:, None]
    biases[0] = biases[0] - mean @ kernels[0]
    if kernels[-1].shape[1] == 1:  # of two classes the first scores 0
        kernels[-1] = np.hstack([np.zeros_like(kernels[-1]), kernels[-1]])
        biases[-1] = np.concatenate([np.zeros(1), biases[-1]])
    return DenseHead(
        scaling,
        tuple(kernel.astype(np.float32) for kernel in kernels),
        tuple(bias.astype(np.float32) for bias in biases),
        float(np.log(LEAST_PROBABILITY)) if plain else None,
        head.temperature,
        tuple(head.classes_.tolist()),
        widths,
    )
