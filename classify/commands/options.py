"""What `show`, `predict` and `demo` may be told: every default, type and help once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cache.errors import UserError
from extract.pictures.augmentation import View

_MOST = 400  # pictures on one sheet; a larger one takes minutes, and no screen shows it


@dataclass(frozen=True)
class SampleOptions:
    """What to show of a data set."""

    grid: str = "3x3"  # rows x columns
    augment: str | None = None  # a policy: each row is one picture, plain in the first column
    seed: int = 0  # of the choice and of the views
    part: str | None = None  # train, val or test; None: whatever there is

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns; UserError for a text that does not name them."""
        found = re.fullmatch(r"(\d{1,3})[xX](\d{1,3})", self.grid)
        rows, columns = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= rows * columns <= _MOST:
            raise UserError(
                f"Expected --grid as rows x columns, such as 3x3, of 1 to {_MOST} pictures in all; received "
                f"{self.grid!r}."
            )
        return rows, columns

    @property
    def views(self) -> list[View]:
        """The views of each picture; UserError for an unknown policy, or where there is no column for them."""
        if self.augment is None:
            return []
        views = [View(self.augment, number, self.seed) for number in range(1, max(2, self.shape[1]))]
        if self.shape[1] < 2:
            raise UserError(
                f"Expected --grid with two columns or more for --augment {self.augment}, the first being the plain "
                f"picture; received {self.grid}. Try 4x6."
            )
        return views
