"""What is done to each row by itself, before anything is learned; and what a scaling adds to that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from classify.data.labelled import Columns
from classify.heads.fitting.parts import STEP
from classify.heads.fitting.rows import signed_root, to_length
from classify.heads.fitting.scaling import scaling_name

if TYPE_CHECKING:
    from classify.heads.streaming.landmarks import Landmarks


@dataclass(frozen=True)
class Form:
    """Rows as several settings of a head share them: some columns, and their roots, lengths or what a kernel makes."""

    columns: Columns
    rows: str  # "plain", "length" or "root"
    widths: tuple[int, ...] = ()  # of the parts that are brought to a length each
    gamma: float = 0.0  # of a kernel
    landmarks: Landmarks | None = None  # of a kernel, drawn before the form is used

    @property
    def width(self) -> int:
        """How many numbers a row has in this form."""
        return self.columns.width if self.landmarks is None else len(self.landmarks.projection)

    def of(self, X: np.ndarray) -> np.ndarray:
        """(k, D) rows with these columns alone, in this form: (k, D) float32, or as many as landmarks make."""
        if self.landmarks is not None:
            return self.landmarks.of(X)
        if self.rows == "length":
            return to_length(X, self.widths)
        return signed_root(X) if self.rows == "root" else X


@dataclass(frozen=True, eq=False)
class Less:
    """Rows less a point, (D,)."""

    point: np.ndarray

    @property
    def width(self) -> int:
        """D."""
        return len(self.point)

    def of(self, X: np.ndarray) -> np.ndarray:
        """(k, D) rows: (k, D) float32."""
        return X - self.point.astype(np.float32)


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
        step: Any = params.get("scale")
        selector = params.get(STEP)
        scaling = scaling_name(step) or ""
        rows = scaling if scaling in ("length", "root") else "plain"
        widths = (step.widths or ()) if scaling == "length" else ()
        [value] = [value for name, value in params.items() if name.startswith("classify__")] or [0.0]
        columns = selector.columns if selector is not None else whole
        form = Form(columns, rows, widths, params.get("kernel__gamma", 0.0))
        found.append(Setting(number, form, scaling, value))
    return found
