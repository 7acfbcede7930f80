"""What `serve` may be told: every default, type and help once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from cache.commands.options import FLAT, Common, File
from classify.commands.options import Run, Trust
from extract.settings import Engine


@dataclass(frozen=True, kw_only=True)
class ServeOptions(Common):
    """What `serve` may be told."""

    run: Run = None
    """run that answers, or a model.keras (default: the best)"""
    open: bool = False
    """show the page in the web browser"""
    port: Annotated[int, Parameter(metavar="N")] = 0
    """of the address; 0: any that is free"""
    host: Annotated[str | None, Parameter(metavar="ADDRESS")] = None
    """where to listen (default: this machine alone)"""
    expose: bool = False
    """allow a --host that other machines reach: nothing that is sent is encrypted"""
    corrections: Annotated[File | None, Parameter(metavar="FOLDER")] = None
    """where corrections.csv and mended.csv go (default: runs/corrections)"""
    trust: Trust = False
    engine: Annotated[Engine, FLAT] = Engine()
