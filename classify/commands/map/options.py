"""What `map` may be told: every default, type and help once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from cache.commands.options import File, OfDataSet, Positive
from classify.commands.options import Run


@dataclass(frozen=True, kw_only=True)
class MapOptions(OfDataSet):
    """What `map` may be told."""

    run: Run = None
    """run whose answers it shows (default: the best on the data set)"""
    most: Annotated[Positive, Parameter(metavar="N")] = 20_000
    """pictures on it at most: of more, each class gives its share"""
    seed: int = 0
    """which pictures, where there are more than that"""
    fresh: bool = False
    """lay all pictures out again, wherever they were before"""
    out: Annotated[File | None, Parameter(metavar="FILE")] = None
    """HTML file to write (default: in a run folder)"""
