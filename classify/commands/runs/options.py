"""What `runs ls` and `runs rm` may be told."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from cache.commands.options import Common, File


@dataclass(frozen=True, kw_only=True)
class ListOptions(Common):
    """What `runs ls` may be told."""


@dataclass(frozen=True)
class RemoveOptions(Common):
    """What `runs rm` may be told."""

    runs: tuple[File, ...]
    """runs to delete: a number, a name or a folder"""
    _: KW_ONLY
    force: bool = False
    """also a run that predict or another run needs, or that is not finished"""
