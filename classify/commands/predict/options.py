"""What `predict` may be told: every default, type and help once."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from cyclopts import Group, Parameter

from cache.commands.options import FLAT, Common, File, PerCent, Positive
from classify.commands.options import Run, Trust
from extract.commands.options import Strict
from extract.settings import Engine

LIMITS = Group("How far to trust the answers", sort_key=2)


@dataclass(frozen=True)
class Asked:
    """What to say beside the answers; None for what was not asked for."""

    sets: PerCent | None = None
    """also name classes that hold the right one so many per cent of the time, as 90"""
    max_error: PerCent | None = None
    """answer only where at most so many per cent of the answers are wrong, as 2%"""
    false_alarms: PerCent | None = None
    """call at most so many per cent of pictures unknown that are like those trained on (default: 1)"""
    evidence: Annotated[Positive | None, Parameter(metavar="K")] = None
    """also name the K training pictures most like each"""

    @property
    def options(self) -> list[str]:
        """Names of those that were."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value is not None]


NOTHING = Asked()


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
    asked: Annotated[Asked, Parameter(name="*", group=LIMITS)] = NOTHING
    out: Annotated[File | None, Parameter(metavar="FILE")] = None
    """CSV file to write (default: in a run folder)"""
    force: bool = False
    """replace an existing file"""
    trust: Trust = False
    engine: Annotated[Engine, FLAT] = Engine()
    strict: Strict = False
