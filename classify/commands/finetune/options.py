"""What `finetune` may be told beside its settings: where to start, or what to go on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Group, Parameter, Token

from cache.commands.options import FLAT, Common, File
from classify.commands.options import Trust
from classify.training.settings import Settings
from extract.settings import Engine, EngineName, Workers

START = Group("Start", sort_key=2)


def _run(_: Any, tokens: Sequence[Token]) -> str:
    return tokens[0].value  # a run may be called 1, which else is taken for a switch's value


def _each(_: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(name for token in tokens for name in token.value.split(","))


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(Common):
    """What `finetune` may be told."""

    run: Annotated[File | None, Parameter(group=START, metavar="RUN")] = None
    """the fit-head run to start from (default: the best linear one)"""
    resume: Annotated[bool | str, Parameter(converter=_run, group=START, metavar="[RUN]")] = False
    """go on with the last unfinished run, or with this one"""
    trust: Annotated[Trust, Parameter(group=START)] = False
    settings: Annotated[Settings, FLAT] = Settings()
    callback: Annotated[
        Sequence[str], Parameter(converter=_each, metavar="MODULE:NAME", show_default=False)
    ] = ()
    """Keras callbacks of your own: a function in a module of this folder that returns one or a list; repeatable"""
    callbacks: Annotated[Sequence[Any], Parameter(parse=False)] = ()
    """the same as objects, from Python"""
    engine: EngineName = Engine.engine
    """what runs the frozen part"""
    workers: Workers = Engine.workers
