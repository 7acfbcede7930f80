"""What `predict` may be told: every default, type and help once."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from cyclopts import Parameter

from cache.commands.options import FLAT, Common, File, Positive
from classify.commands.options import Run, Trust
from extract.commands.options import Strict
from extract.settings import Engine


@dataclass(frozen=True)
class PredictOptions(Common):
    """What `predict` may be told."""

    paths: tuple[File, ...]
    """pictures, or folders of them"""
    _: KW_ONLY
    run: Run = None
    """folder of the run to use, or a model.keras (default: the best)"""
    space: Annotated[str | None, Parameter(metavar="ID")] = None
    """refuse a run of another space than this, or than these (A,B)"""
    top: Positive = 3
    """classes to list per picture"""
    out: Annotated[File | None, Parameter(metavar="FILE")] = None
    """CSV file to write (default: in a run folder)"""
    force: bool = False
    """replace an existing file"""
    trust: Trust = False
    engine: Annotated[Engine, FLAT] = Engine()
    strict: Strict = False
