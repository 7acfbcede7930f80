"""Which columns of a row a head uses: the first step of its Pipeline while the search chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from classify.data.labelled import Columns

STEP = "parts"


class PartSelector(TransformerMixin, BaseEstimator):
    """Keep some columns of each row.

    Parameters
    ----------
    columns : Columns
        Which; its name is what people call them.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    def fit(self, X: Any, y: Any = None) -> PartSelector:
        """Learn nothing but the width."""
        validate_data(self, X, dtype=(np.float32, np.float64))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(n, D) float to (n, d) float."""
        check_is_fitted(self)
        return self.columns.of(validate_data(self, X, dtype=(np.float32, np.float64), reset=False))


def with_parts(pipeline: Pipeline) -> Pipeline:
    """Put the step before a Pipeline's own; which columns it keeps is set by the search."""
    from sklearn.pipeline import Pipeline

    return Pipeline([(STEP, "passthrough"), *pipeline.steps])


def without_parts(pipeline: Pipeline) -> tuple[Columns | None, Pipeline]:
    """Take the step off again: the columns it keeps, None for all, and the Pipeline of those columns alone."""
    from sklearn.pipeline import Pipeline

    first = pipeline[0]
    if not isinstance(first, PartSelector):
        return None, pipeline
    return first.columns, Pipeline(pipeline.steps[1:])
