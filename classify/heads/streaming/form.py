"""What is done to each row by itself, before anything is learned; and what a scaling adds to that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from classify.data.labelled import Columns
from classify.heads.fitting.parts import STEP
from classify.heads.fitting.rows import signed_root, to_length
from classify.heads.fitting.scaling import scaling_name


@dataclass(frozen=True)
class Form:
    """Rows as several settings of a head share them: some columns, and their roots or lengths."""

    columns: Columns
    rows: str  # "plain", "length" or "root"
    widths: tuple[int, ...] = ()  # of the parts that are brought to a length each

    def of(self, X: np.ndarray) -> np.ndarray:
        """(k, D) rows with these columns alone, in this form: (k, D) float32."""
        if self.rows == "length":
            return to_length(X, self.widths)
        return signed_root(X) if self.rows == "root" else X


@dataclass(frozen=True)
class Setting:
    """A candidate: the form of its rows, whether they are standardised then, and its strength of regularisation."""

    number: int
    form: Form
    scaling: str
    value: float

    @property
    def standard(self) -> bool:
        """Whether features are brought to mean 0 and deviation 1, by the rows fitted on."""
        return self.scaling in ("standard", "root")


def settings(candidates: Sequence[Mapping[str, Any]], whole: Columns) -> list[Setting]:
    """Read the candidates of a head of the table; `whole` are the columns where there is no choice."""
    found = []
    for number, params in enumerate(candidates):
        step, selector = params["scale"], params.get(STEP)
        scaling = scaling_name(step) or ""
        rows = scaling if scaling in ("length", "root") else "plain"
        widths = (step.widths or ()) if scaling == "length" else ()
        [value] = [value for name, value in params.items() if name.startswith("classify__")] or [0.0]
        form = Form(selector.columns if selector is not None else whole, rows, widths)
        found.append(Setting(number, form, scaling, value))
    return found
