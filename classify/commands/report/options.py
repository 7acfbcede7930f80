"""What `report` may be told: every default, type and help once."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from cyclopts import Parameter

from cache.commands.options import Common, File


@dataclass(frozen=True)
class ReportOptions(Common):
    """What `report` may be told."""

    runs: Annotated[tuple[File, ...], Parameter(metavar="RUN", show_default=False)] = ()
    """a run, by its folder, name or number, or two to compare (default: the best)"""
    _: KW_ONLY
    open: bool = False
    """show the page in the web browser"""
