"""Dense networks as heads, layer by layer, so that a network can end in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classify.heads.arrays import ArrayHead, layers
from classify.heads.as_arrays import as_arrays
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


def unroll(head: CalibratedHead | ArrayHead) -> DenseHead | None:
    """Write a multilayer perceptron down as its layers.

    Returns
    -------
    DenseHead or None
        Of a `BatchNormMLP`, or of scikit-learn's MLPClassifier with ReLU, behind one of the scalings of heads; None
        for anything else.
    """
    written = as_arrays(head)
    if written is None or written.kind not in ("perceptron", "network"):
        return None
    scaling, mean, scale = row_scaling(written)
    kernels, biases = (
        [np.asarray(each, np.float64) for each in side] for side in zip(*layers(written.arrays), strict=True)
    )
    kernels[0] = kernels[0] / scale[:, None]
    biases[0] = biases[0] - mean @ kernels[0]
    if kernels[-1].shape[1] == 1:  # of two classes the first scores 0
        kernels[-1] = np.hstack([np.zeros_like(kernels[-1]), kernels[-1]])
        biases[-1] = np.concatenate([np.zeros(1), biases[-1]])
    return DenseHead(
        scaling,
        tuple(kernel.astype(np.float32) for kernel in kernels),
        tuple(bias.astype(np.float32) for bias in biases),
        float(np.log(LEAST_PROBABILITY)) if written.kind == "perceptron" else None,
        written.temperature,
        tuple(written.classes_.tolist()),
        written.widths,
    )
