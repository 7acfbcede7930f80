"""What may be done to embeddings before a classifier sees them; which of it is part of the search."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data


class LengthScaler(TransformerMixin, BaseEstimator):
    """Scale each row to the length sqrt(D), so that its features have a mean square of 1 (L2 normalisation)."""

    def fit(self, X: Any, y: Any = None) -> LengthScaler:
        """Learn nothing but the width."""
        validate_data(self, X, dtype=(np.float32, np.float64))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(n, D) float to (n, D) float; a row of zeros stays."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float32, np.float64), reset=False)
        length = np.linalg.norm(X, axis=1, keepdims=True)
        return X * (np.sqrt(X.shape[1]) / np.where(length > 0, length, 1)).astype(X.dtype)


class RootScaler(TransformerMixin, BaseEstimator):
    """Take the signed square root of each feature: averaged activations are skewed, their roots much less.

    The power normalisation of Perronnin, Sanchez and Mensink 2010 (ECCV) with exponent 1/2.
    """

    def fit(self, X: Any, y: Any = None) -> RootScaler:
        """Learn nothing but the width."""
        validate_data(self, X, dtype=(np.float32, np.float64))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(n, D) float to (n, D) float."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float32, np.float64), reset=False)
        return np.sign(X) * np.sqrt(np.abs(X))


def scalings(*names: str) -> list[Any]:
    """Return unfitted transformers for a search: none, length, standard, root (root, then standard)."""
    made = {
        "none": "passthrough",
        "length": LengthScaler(),
        "standard": StandardScaler(),
        "root": Pipeline([("root", RootScaler()), ("standard", StandardScaler())]),
    }
    return [made[name] for name in names]


def scaling_name(step: Any) -> str | None:
    """Name a step that `scalings` made; None for anything else."""
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return "none"
    if isinstance(step, Pipeline):
        kinds = [type(inner) for _, inner in step.steps]
        return "root" if kinds == [RootScaler, StandardScaler] and scaling_name(step[-1]) else None
    if type(step) is StandardScaler:
        return "standard" if step.with_mean and step.with_std else None
    return "length" if type(step) is LengthScaler else None


def split_scaling(step: Any, X: np.ndarray) -> tuple[np.ndarray, bool] | None:
    """Do the part of a scaling that looks at one row at a time, and tell whether standardising is left.

    Returns None for a step that is not known: then nothing about it can be shared between folds.
    """
    name = scaling_name(step)
    if name is None:
        return None
    if name == "length":
        X = LengthScaler().fit_transform(X)
    elif name == "root":
        X = RootScaler().fit_transform(X)
    return X, name in ("standard", "root")
