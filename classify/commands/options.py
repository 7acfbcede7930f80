"""What `show` and `demo` may be told: every default, type and help once."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cache.commands.options import FLAT, Common, File
from cache.errors import UserError
from extract.commands.options import DataDir
from extract.pictures.policies import NAMES
from extract.settings import Columns

if TYPE_CHECKING:
    from extract.pictures.augmentation import View

_MOST = 400  # pictures on one sheet; a larger one takes minutes, and no screen shows it
Run = Annotated[File | None, Parameter(metavar="RUN")]
Trust = Annotated[
    bool, Parameter(help="load a head or model that you did not make: its code runs; asked once")
]


@dataclass(frozen=True)
class SampleOptions:
    """What to show of a data set."""

    grid: Annotated[str, Parameter(metavar="ROWSxCOLUMNS")] = "3x3"
    """how many pictures"""
    augment: Annotated[
        str | None, Parameter(metavar="POLICY", help=f"draw augmented views beside each picture: {NAMES}")
    ] = None  # each row is one picture, plain in the first column
    seed: int = 0
    """which pictures, and which views"""
    part: Annotated[str | None, Parameter(name="--split", choices=("train", "val", "test"))] = None
    """only this part of the data set (default: whatever there is)"""

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
        from extract.pictures.augmentation import View

        views = [View(self.augment, number, self.seed) for number in range(1, max(2, self.shape[1]))]
        if self.shape[1] < 2:
            raise UserError(
                f"Expected --grid with two columns or more for --augment {self.augment}, the first being the plain "
                f"picture; received {self.grid}. Try 4x6."
            )
        return views


@dataclass(frozen=True)
class ShowOptions(Common):
    """What `show` may be told."""

    source: File | None = None
    """what `extract` takes, or the name of a data set (default: the last extracted)"""
    _: KW_ONLY
    sample: Annotated[SampleOptions, FLAT] = SampleOptions()
    out: Annotated[File | None, Parameter(metavar="FILE")] = None
    """PNG file to write (default: in a run folder)"""
    data_dir: DataDir = None
    columns: Annotated[Columns, FLAT] = Columns()


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What `demo` may be told."""

    quick: bool = False
    """a few hundred pictures"""
    data: Annotated[File | None, Parameter(metavar="FOLDER")] = None
    """your own folder of class folders instead of the digits"""
    out: Annotated[File, Parameter(metavar="FOLDER")] = "coldframe-demo"
    """where to put pictures, cache and runs"""
