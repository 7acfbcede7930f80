"""What `watch` may be told: every default, type and help once."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from cyclopts import Parameter

from cache.commands.options import FLAT, Common, File, Time
from classify.commands.options import Run, Trust
from extract.settings import Engine


@dataclass(frozen=True)
class WatchOptions(Common):
    """What `watch` may be told."""

    folder: File
    """where pictures arrive, at any depth"""
    _: KW_ONLY
    run: Run = None
    """run that answers, or a model.keras (default: the best)"""
    out: Annotated[File | None, Parameter(metavar="FILE")] = None
    """CSV file that answers are appended to (default: answers.csv in the folder)"""
    every: Time = 1.0
    """look so often; a file that changed between two looks is still being written"""
    trust: Trust = False
    engine: Annotated[Engine, FLAT] = Engine()
