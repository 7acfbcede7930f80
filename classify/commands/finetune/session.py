"""Where a fine-tune works, how its frozen part is run, and who is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cache.workspace import Workspace
from extract.embedding.progress import Progress, Say
from extract.settings import Options


@dataclass(frozen=True)
class Session:
    """What all steps of a fine-tune share, whatever it starts from."""

    workspace: Workspace
    options: Options = field(
        default_factory=Options
    )  # engine, batch size and reading threads of the frozen part
    progress: Progress = field(default_factory=Progress)  # of the caching of activations
    say: Say = lambda line: None
    trust: bool = False  # a head or model that this user did not make
    clock: Callable[[], float] = time.monotonic  # seconds
    began: float = field(default_factory=time.monotonic)  # by that clock

    @property
    def seconds(self) -> float:
        """How long the command has taken so far."""
        return self.clock() - self.began
