"""What `evaluate` may be told: every default, type and help once."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from cache.commands.options import FLAT, Common, File
from classify.commands.options import Run, Trust
from extract.commands.options import DataDir, Strict
from extract.settings import Columns, Engine


@dataclass(frozen=True)
class EvaluateOptions(Common):
    """What `evaluate` may be told."""

    source: File
    """labelled pictures that the run has not seen: what `extract` takes"""
    _: KW_ONLY
    run: Run = None
    """folder of the run to evaluate, or a model.keras (default: the best)"""
    data_dir: DataDir = None
    columns: Annotated[Columns, FLAT] = Columns()
    trust: Trust = False
    engine: Annotated[Engine, FLAT] = Engine()
    strict: Strict = False
