"""A fitted head as arrays: all that it takes to answer, without scikit-learn, and without code that a file could bring.

The arithmetic is that of the classes the arrays came from, step by step and in the same precision, so that both give
the same answers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax

from classify.heads.fitting.rows import signed_root, to_length
from classify.heads.fitting.scores import (
    LEAST_PROBABILITY,
    squared_distances,
    vote_scores,
    weakest_duel,
    with_first_at_zero,
)

Arrays = Mapping[str, np.ndarray]
SCALINGS = ("none", "length", "standard", "root")
STANDARDISED = ("standard", "root")
ROWS = 2**13  # at a time: what is worked out on the way may need more memory than they do


class Tempered(ABC):
    """Whoever has scores of rows, and one temperature that makes them probabilities: softmax(scores / temperature)."""

    temperature: float
    classes_: np.ndarray

    @abstractmethod
    def scores(self, X: np.ndarray) -> np.ndarray:
        """Score (n, D) embeddings: (n, C) float64, before the temperature."""

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return probabilities (n, C) float64; each row sums to 1."""
        return self.probabilities(self.scores(X))

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Turn scores (n, C) into probabilities (n, C)."""
        return softmax(scores / self.temperature, axis=1)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the most probable class name of each row, (n,)."""
        return self.classes_[self.scores(X).argmax(axis=1)]


@dataclass(frozen=True, eq=False)
class ArrayHead(Tempered):
    """A head of C classes on rows of D numbers: scaled rows, scores by its kind, softmax(scores / temperature).

    Parameters
    ----------
    kind : str
        Of KINDS.
    arrays : mapping of str to array
        With the shapes that the kind asks for.
    classes_ : (C,) str
        In the order of the columns.
    temperature : float
    n_features_in_ : int
        D.
    scaling : str
        Of SCALINGS: nothing, each row to the length sqrt(D), (X - mean) / scale, or the signed root and then that.
    mean, scale : (D,), optional
        Where the scaling standardises.
    widths : tuple of int
        Of the parts of a row, each of which has a length of its own; none: the row is one part.
    """

    kind: str
    arrays: Arrays
    classes_: np.ndarray
    temperature: float
    n_features_in_: int
    scaling: str = "none"
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None
    widths: tuple[int, ...] = ()

    def scaled(self, X: np.ndarray) -> np.ndarray:
        """What the kind's scores are of, (n, D): float32 of float32 rows, else float64."""
        if X.ndim != 2 or X.shape[1] != self.n_features_in_:
            raise ValueError(f"Expected rows of {self.n_features_in_} numbers, received an array {X.shape}.")
        X = X if X.dtype == np.float32 else X.astype(np.float64)
        if self.scaling == "length":
            return to_length(X, self.widths)
        if self.scaling == "root":
            X = signed_root(X)
        if self.mean is None or self.scale is None:
            return X
        X = X - self.mean.astype(X.dtype)
        X /= self.scale.astype(X.dtype)
        return X

    def scores(self, X: np.ndarray) -> np.ndarray:
        """Score (n, D) embeddings: (n, C) float64, before the temperature."""
        X, score = np.asarray(X), KINDS[self.kind].scores
        blocks = [score(self.scaled(X[at : at + ROWS]), self.arrays) for at in range(0, len(X), ROWS)]
        if not blocks:
            return np.empty((0, len(self.classes_)))
        return np.concatenate([with_first_at_zero(np.asarray(block, np.float64)) for block in blocks])


def layers(arrays: Arrays) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernel (D, H) and bias (H,) of each layer of a dense network, the first first."""
    return [(arrays[f"kernel_{i}"], arrays[f"bias_{i}"]) for i in range(1, len(arrays) // 2 + 1)]


def _linear(Z: np.ndarray, a: Arrays) -> np.ndarray:
    return Z @ a["coef"].T + a["intercept"]


def _centroids(Z: np.ndarray, a: Arrays) -> np.ndarray:
    return -0.5 * squared_distances(Z.astype(np.float64), a["centroids"].astype(np.float64))


def _duels(Z: np.ndarray, a: Arrays) -> np.ndarray:
    return _decided(Z.astype(np.float64) @ a["coef"].T + a["intercept"])


def _rbf(Z: np.ndarray, a: Arrays) -> np.ndarray:
    near = _near(Z.astype(np.float64), a["support"], a["gamma"])
    return _decided(near @ a["weight"] + a["intercept"])


def _nystroem(Z: np.ndarray, a: Arrays) -> np.ndarray:
    return _linear(_near(Z, a["landmarks"], a["gamma"]) @ a["projection"].T, a)


def _near(Z: np.ndarray, points: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """exp(-gamma |z - p|^2) of all pairs, in the precision of Z."""
    distances = squared_distances(Z.astype(np.float64), points.astype(np.float64)).astype(Z.dtype)
    distances *= -float(gamma)
    return np.exp(distances, distances)


def _decided(margins: np.ndarray) -> np.ndarray:
    """Of duels of C classes, (n, C (C - 1) / 2), each class's weakest; a single one stays."""
    count = round((1 + np.sqrt(1 + 8 * margins.shape[1])) / 2)
    return margins if count == 2 else weakest_duel(margins, count)


def _dense(Z: np.ndarray, a: Arrays) -> np.ndarray:
    x, number = Z, len(layers(a))
    for at, (kernel, bias) in enumerate(layers(a), 1):
        x = x @ kernel + bias
        x = np.maximum(x, 0) if at < number else x
    return x


def _perceptron(Z: np.ndarray, a: Arrays) -> np.ndarray:
    """Logarithms of probabilities, as scikit-learn's MLPClassifier has none below them."""
    logits = _dense(Z, a)
    if logits.shape[1] == 1:
        share = expit(logits)
        p = np.hstack([1 - share, share])
    else:
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
    return np.log(np.maximum(p, LEAST_PROBABILITY))


def _network(Z: np.ndarray, a: Arrays) -> np.ndarray:
    """Logits in float32; of two classes that of the second over the first."""
    logits = _dense(Z.astype(np.float32), a)
    return logits[:, 1:] - logits[:, :1] if logits.shape[1] == 2 else logits


def _neighbours(Z: np.ndarray, a: Arrays) -> np.ndarray:
    """Votes of the nearest rows, each weighing one over its distance; of copies of the row alone, if there are any."""
    distances = squared_distances(Z.astype(np.float64), a["rows"].astype(np.float64))
    most, rows = min(int(a["most"]), distances.shape[1]), np.arange(len(Z))[:, None]
    nearest = np.argpartition(distances, most - 1, axis=1)[:, :most]
    nearest = nearest[rows, distances[rows, nearest].argsort(axis=1, kind="stable")]
    away = np.sqrt(distances[rows, nearest])
    copy = away == 0
    weight = np.where(copy.any(axis=1, keepdims=True), copy, 1 / np.where(copy, 1, away))
    share = np.zeros((len(Z), int(a["code"].max()) + 1))
    for place in range(most):
        share[rows[:, 0], a["code"][nearest[:, place]]] += weight[:, place]
    return vote_scores(share / share.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Kind:
    """How a kind of head scores scaled rows (n, D), and which arrays it has.

    `shapes` has a letter an axis: D numbers of a row, C classes, P pairs of them, K either C or, of two classes, 1; any
    other letter stands for one number wherever it occurs. A dense network's are `layers`.
    """

    scores: Callable[[np.ndarray, Arrays], np.ndarray]
    shapes: Mapping[str, str]


KINDS = {
    "linear": Kind(_linear, {"coef": "KD", "intercept": "K"}),
    "centroids": Kind(_centroids, {"centroids": "CD"}),
    "duels": Kind(_duels, {"coef": "PD", "intercept": "P"}),
    "rbf": Kind(_rbf, {"support": "SD", "gamma": "", "weight": "SP", "intercept": "P"}),
    "nystroem": Kind(
        _nystroem,
        {"landmarks": "SD", "gamma": "", "projection": "RS", "coef": "KR", "intercept": "K"},
    ),
    "neighbours": Kind(_neighbours, {"rows": "SD", "code": "S", "most": ""}),
    "perceptron": Kind(_perceptron, {}),
    "network": Kind(_network, {}),
}
