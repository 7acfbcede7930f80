"""What scalings do to each row by itself, in NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def to_length(X: np.ndarray, widths: Sequence[int] = ()) -> np.ndarray:
    """Bring each row of (n, D) to the length sqrt(D); of rows in parts of some `widths` each part by itself."""
    if widths:
        return np.hstack([to_length(part) for part in np.split(X, np.cumsum(widths)[:-1], axis=1)])
    length = np.linalg.norm(X, axis=1, keepdims=True)
    return X * (np.sqrt(X.shape[1]) / np.where(length > 0, length, 1)).astype(X.dtype)


def signed_root(X: np.ndarray) -> np.ndarray:
    """Take the signed square root of each number."""
    root = np.abs(X)
    np.sqrt(root, out=root)
    return np.copysign(root, X, out=root)
