"""Workers with something special about them; Ray imports them by this name."""

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from extract.embedding import runner
from extract.embedding.cluster.messages import Block, News, Ready, Task
from extract.embedding.cluster.worker import Worker


class Impatient(Worker):
    """Seals several times a second."""

    def begin(self, tasks: Sequence[Task], threads: int) -> Ready:
        runner.SEAL_SECONDS = 0.1
        return super().begin(tasks, threads)


class Sated(Impatient):
    """Takes no more than what it is given first, and never ends."""

    def turn(self, blocks: Sequence[Block], over: bool, at_once: bool = False) -> News:
        return replace(super().turn(blocks, over, at_once), room=0)


class Doomed(Impatient):
    """One of them kills itself once, after something was sealed and before it tells what it read last."""

    def turn(self, blocks: Sequence[Block], over: bool, at_once: bool = False) -> News:
        news = super().turn(blocks, over, at_once)
        root = self._extractors[0].workspace.root
        if list(root.glob("spaces/*/shards/*.h5")) and _first(root / "killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        return news


class Poisoned(Impatient):
    """Dies of a certain file, whoever reads it."""

    def turn(self, blocks: Sequence[Block], over: bool, at_once: bool = False) -> News:
        if any("poison" in path for block in blocks for path in block.manifest.paths):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().turn(blocks, over, at_once)


class Stillborn(Worker):
    """Dies before it begins."""

    def begin(self, tasks: Sequence[Task], threads: int) -> Ready:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def _first(path: Path) -> bool:
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
