"""What `publish` may be told."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from cyclopts import Parameter

from cache.commands.options import Common, File
from classify.commands.options import Run

PLACES = ("folder", "mlflow")


@dataclass(frozen=True)
class PublishOptions(Common):
    """What `publish` may be told."""

    run: Run = None
    """the run, by number, name or folder (default: the best)"""
    _: KW_ONLY
    to: Annotated[str, Parameter(choices=PLACES)]
    """a folder as model hubs take it, or a database of MLflow"""
    out: Annotated[File | None, Parameter(metavar="PATH")] = None
    """where: a folder, or the database's file (default: published, mlflow.db)"""
