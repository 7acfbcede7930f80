"""What may be done to embeddings before a classifier sees them; which of it is part of the search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from classify.heads.fitting.rows import signed_root, to_length


class LengthScaler(TransformerMixin, BaseEstimator):
    """Scale each row to the length sqrt(D), so that its features have a mean square of 1 (L2 normalisation).

    Parameters
    ----------
    widths : tuple of int, optional
        Of the parts of a row from left to right, each of which is scaled by itself; default: the row is one part.
    """

    widths: tuple[int, ...] | None = None  # heads of older versions have none of their own

    def __init__(self, widths: tuple[int, ...] | None = None) -> None:
        self.widths = widths

    def fit(self, X: Any, y: Any = None) -> LengthScaler:
        """Learn nothing but the width."""
        X = validate_data(self, X, dtype=(np.float32, np.float64))
        if self.widths is not None and sum(self.widths) != X.shape[1]:
            raise ValueError(
                f"Expected {sum(self.widths)} columns in parts of {self.widths}, received {X.shape[1]}."
            )
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(n, D) float to (n, D) float; a row, or part of one, of zeros stays."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float32, np.float64), reset=False)
        return to_length(X, self.widths or ())


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
        return signed_root(X)


def scalings(*names: str) -> list[Any]:
    """Return unfitted transformers for a search: none, length, standard, root (root, then standard)."""
    made = {
        "none": "passthrough",
        "length": LengthScaler(),
        "standard": StandardScaler(),
        "root": Pipeline([("root", RootScaler()), ("standard", StandardScaler())]),
    }
    return [made[name] for name in names]


def of_parts(steps: Sequence[Any], widths: tuple[int, ...]) -> list[Any]:
    """Fit the scalings that `scalings` made to rows of these parts.

    Of several parts each is brought to its own length, and none is taken as it is where there is another scaling: their
    units differ.
    """
    if len(widths) < 2:
        return list(steps)
    scaled = [step for step in steps if scaling_name(step) != "none"] or steps
    return [LengthScaler(widths) if type(step) is LengthScaler else step for step in scaled]


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
        X = LengthScaler(step.widths).fit_transform(X)
    elif name == "root":
        X = RootScaler().fit_transform(X)
    return X, name in ("standard", "root")
