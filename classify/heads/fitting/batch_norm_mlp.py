"""A dense network with batch normalisation before each layer, in NumPy. scikit-learn's has none.

Batch normalisation is Ioffe and Szegedy 2015, arXiv 1502.03167; the optimiser is Adam, Kingma and Ba 2015, arXiv
1412.6980. Axes: b rows of a batch, D features, H units of a layer, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

EPSILON = 1e-3  # added to each variance, as Keras does
DECAYS = (0.9, 0.999)  # of Adam's first and second moments
BLOCK = 2**14  # parameters that Adam takes at a time: what belongs to them stays in the processor's cache
ROWS = (
    2**13
)  # rows that go through the finished layers at a time: all at once may need more memory than they do
Layer = dict[str, np.ndarray]  # "gamma", "beta" (D,), "kernel" (D, H), "bias" (H,)


class BatchNormMLP(ClassifierMixin, BaseEstimator):
    """Classifier of dense layers with ReLU, each behind batch normalisation, ended by a softmax.

    Trained for a fixed number of epochs. Afterwards the statistics of each normalisation are computed once over
    all rows, as in algorithm 2 of Ioffe and Szegedy (moving averages lag behind where there are few steps), and
    folded into the layer behind it: what is left is a plain dense network.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int
        Units of each hidden layer.
    max_iter : int
        Epochs.
    batch_size : int
        Rows a step, nearly: an epoch is cut into equal batches.
    learning_rate_init : float
    random_state : int, RandomState or None
        Of the first weights and the order of the rows.

    Attributes
    ----------
    classes_ : (C,) array
    n_features_in_ : int
    coefs_ : list of (D, H) float32 arrays, layer by layer
    intercepts_ : list of (H,) float32 arrays
    n_iter_ : int
    loss_curve_ : list of float
        Mean cross-entropy of each epoch's batches, in nats.
    """

    def __init__(
        self,
        hidden_layer_sizes: tuple[int, ...] = (2048, 1024),
        *,
        max_iter: int = 30,
        batch_size: int = 128,
        learning_rate_init: float = 1e-3,
        random_state: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> BatchNormMLP:
        """Train on (n, D) rows with (n,) class labels and, if given, (n,) weights."""
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"{type(self).__name__} needs rows of two classes, received one class")
        weight = _check_sample_weight(sample_weight, X, dtype=np.float32)
        weight = weight / weight.mean()
        rng = check_random_state(self.random_state)
        sizes = [X.shape[1], *self.hidden_layer_sizes, len(self.classes_)]
        parameters = np.zeros(sum(2 * d + d * h + h for d, h in pairwise(sizes)), np.float32)
        gradient, moments = np.empty_like(parameters), np.zeros((2, len(parameters)), np.float32)
        layers, slopes = _split(parameters, sizes), _split(gradient, sizes)
        for layer in layers:
            bound = np.sqrt(6 / sum(layer["kernel"].shape))  # Glorot and Bengio 2010, as in Keras
            layer["kernel"][:] = rng.uniform(-bound, bound, layer["kernel"].shape)
            layer["gamma"][:] = 1
        batches, step = max(1, round(len(X) / self.batch_size)), 0
        self.loss_curve_ = []
        for _ in range(self.max_iter):
            total = 0.0
            for rows in np.array_split(rng.permutation(len(X)), batches):
                total += loss_and_gradient(layers, slopes, X[rows], codes[rows], weight[rows]) * len(rows)
                step += 1
                _adam(parameters, gradient, moments, self.learning_rate_init, step)
            self.loss_curve_.append(total / len(X))
        self.n_iter_ = self.max_iter
        self.coefs_, self.intercepts_ = _folded(layers, X)
        return self

    def _logits(self, X: np.ndarray) -> np.ndarray:
        x = validate_data(self, X, dtype=np.float32, reset=False)
        hidden = _through(self.coefs_[:-1], self.intercepts_[:-1], x)
        return np.concatenate([block @ self.coefs_[-1] + self.intercepts_[-1] for block in hidden])

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Logits of (n, D) rows: (n, C); of two classes that of the second over the first, (n,)."""
        check_is_fitted(self)
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities of (n, D) rows: (n, C)."""
        scores = self.decision_function(X).astype(np.float64)
        return (
            softmax(scores, axis=1) if scores.ndim == 2 else np.stack([expit(-scores), expit(scores)], axis=1)
        )

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The most probable class of each of (n, D) rows, (n,)."""
        check_is_fitted(self)
        return self.classes_[self._logits(X).argmax(axis=1)]


def loss_and_gradient(
    layers: list[Layer], slopes: list[Layer], x: np.ndarray, codes: np.ndarray, weight: np.ndarray
) -> float:
    """Mean of the weighted cross-entropies of a batch (b, D), in nats; its derivatives are written to `slopes`."""
    kept = []
    for number, layer in enumerate(layers):
        centred = x - x.mean(axis=0)
        deviation = np.sqrt((centred**2).mean(axis=0) + EPSILON)
        normal = centred / deviation
        inner = normal * layer["gamma"] + layer["beta"]
        kept.append((x, normal, deviation, inner))
        x = inner @ layer["kernel"] + layer["bias"]
        if number < len(layers) - 1:
            x = np.maximum(x, 0)
    own = np.arange(len(codes)), codes
    chance = softmax(x, axis=1)
    loss = float(-(weight * np.log(np.maximum(chance[own], 1e-30))).mean())
    chance[own] -= 1
    above = (
        chance * (weight / len(codes))[:, None]
    )  # derivative by what comes out of a layer, before its ReLU
    for number in range(len(layers) - 1, -1, -1):
        (x, normal, deviation, inner), layer, slope = kept[number], layers[number], slopes[number]
        np.matmul(inner.T, above, out=slope["kernel"])
        above.sum(axis=0, out=slope["bias"])
        below = above @ layer["kernel"].T
        below.sum(axis=0, out=slope["beta"])
        (below * normal).sum(axis=0, out=slope["gamma"])
        if number:
            # Mean and deviation of the batch depend on every row of it.
            shared = (slope["beta"] + normal * slope["gamma"]) / len(x)
            above = (below - shared) * (layer["gamma"] / deviation)
            above[x <= 0] = 0
    return loss


def _split(flat: np.ndarray, sizes: list[int]) -> list[Layer]:
    """Views of one flat array as the parameters of each layer."""

    def layers() -> Iterator[Layer]:
        at = 0
        for d, h in pairwise(sizes):
            layer = {}
            for name, shape in (("gamma", (d,)), ("beta", (d,)), ("kernel", (d, h)), ("bias", (h,))):
                size = int(np.prod(shape))
                layer[name] = flat[at : at + size].reshape(shape)
                at += size
            yield layer

    return list(layers())


def _adam(p: np.ndarray, gradient: np.ndarray, moments: np.ndarray, rate: float, step: int) -> None:
    """One step of Adam, in place."""
    first, second = DECAYS
    rate *= float(np.sqrt(1 - second**step)) / (1 - first**step)
    for at in range(0, len(p), BLOCK):
        here = slice(at, at + BLOCK)
        g, m, v = gradient[here], moments[0, here], moments[1, here]
        scratch = g - m
        scratch *= 1 - first
        m += scratch
        np.multiply(g, g, out=scratch)
        scratch -= v
        scratch *= 1 - second
        v += scratch
        np.sqrt(v, out=scratch)
        scratch += 1e-7
        np.divide(m, scratch, out=scratch)
        scratch *= rate
        p[here] -= scratch


def _folded(layers: list[Layer], x: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Kernels and biases of the layers, each with the normalisation before it, by the statistics of all rows."""
    kernels, biases = list[np.ndarray](), list[np.ndarray]()
    for layer in layers:
        mean, variance = _statistics(_through(kernels, biases, x))
        scale = layer["gamma"] / np.sqrt(variance + EPSILON)
        kernels.append((layer["kernel"] * scale[:, None]).astype(np.float32))
        biases.append(((layer["beta"] - mean * scale) @ layer["kernel"] + layer["bias"]).astype(np.float32))
    return kernels, biases


def _through(
    kernels: Sequence[np.ndarray], biases: Sequence[np.ndarray], x: np.ndarray
) -> Iterator[np.ndarray]:
    """What comes out of hidden layers for rows (n, D), block by block."""
    for at in range(0, len(x), ROWS):
        block = x[at : at + ROWS]
        for kernel, bias in zip(kernels, biases, strict=True):
            block = np.maximum(block @ kernel + bias, 0)
        yield block


def _statistics(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each column (H,) float64: Chan, Golub and LeVeque 1983, The American Statistician 37:242."""
    n, mean, squares = 0, np.zeros(()), np.zeros(())
    for block in blocks:
        own, total = block.mean(axis=0, dtype=np.float64), n + len(block)
        away = own - mean
        squares = (
            squares + block.var(axis=0, dtype=np.float64) * len(block) + away**2 * (n * len(block) / total)
        )
        mean = mean + away * (len(block) / total)
        n = total
    return mean, squares / n
