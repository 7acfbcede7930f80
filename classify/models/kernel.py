"""Kernel support vector machines as matrix products over their support vectors, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classify.heads.as_arrays import as_arrays
from classify.models.linear import row_scaling

if TYPE_CHECKING:
    from classify.heads.arrays import ArrayHead
    from classify.heads.calibration import CalibratedHead


@dataclass(frozen=True, eq=False)
class KernelHead:
    """Scores from S support vectors s: exp(-gamma |z - s|^2) @ kernel + bias.

    z is (scale_rows(X, scaling, widths) - mean) / scale. Where `support` is None, the scores are z @ kernel + bias.
    With `duels` they are margins of P duels in the order of `scores.weakest_duel`, and the logit of a class is its
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


def expand(head: CalibratedHead | ArrayHead) -> KernelHead | None:
    """Write a support vector machine down as matrices.

    Returns
    -------
    KernelHead or None
        Of a `DuelSVC` with RBF or linear kernel, or of a Nystroem kernel (RBF) and a linear machine, behind a
        scaling of `classify.heads.fitting.scaling`; None for anything else.
    """
    written = as_arrays(head)
    if written is None or written.kind not in ("duels", "rbf", "nystroem"):
        return None
    arrays, support = written.arrays, None
    if written.kind == "duels":
        kernel = arrays["coef"].T
    elif written.kind == "rbf":
        kernel, support = arrays["weight"], arrays["support"]
    else:
        kernel, support = arrays["projection"].T @ arrays["coef"].T, arrays["landmarks"]
    scaling, mean, scale = row_scaling(written)
    return KernelHead(
        scaling,
        mean,
        scale,
        support,
        float(arrays.get("gamma", 0.0)),
        kernel / written.temperature,
        np.asarray(arrays["intercept"], np.float64) / written.temperature,
        written.kind != "nystroem",
        tuple(written.classes_.tolist()),
        written.widths,
    )
