"""A worker of a cluster: engines of its own, and a run that is fed block by block and seals the rows itself."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Sequence

from cache.errors import UserError
from cache.storage.files import locked, make_folder, user_folder
from cache.workspace import Workspace
from extract.embedding.cluster.feed import AHEAD, Feed, as_news
from extract.embedding.cluster.messages import Block, News, Ready, Task
from extract.embedding.extractor import Extractor

WAIT = 0.5  # seconds after which a worker answers, whatever there is to tell


class Worker:
    """One process of a cluster, as an actor; its methods are called one after the other."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._feed: Feed | None = None

    def hello(self) -> str:
        """Tell on which machine it is, once it is there."""
        return socket.gethostname()

    def begin(self, tasks: Sequence[Task], threads: int) -> Ready:
        """Learn the networks; UserError where they would compute in other spaces than the driver's."""
        os.environ["LOKY_MAX_CPU_COUNT"] = str(threads)  # what this process takes for the cores it has
        warnings.showwarning = lambda message, *_: self._notes.append(f"warning: {message}")
        self._threads = threads
        make_folder(user_folder())
        with locked(
            user_folder()
        ):  # a network that is new to this machine is made ready by one of its workers
            self._extractors = [self._extractor(task) for task in tasks]
        return Ready(self.hello(), [each.engine for each in self._extractors], self._taken_notes())

    def turn(self, blocks: Sequence[Block], over: bool, at_once: bool = False) -> News:
        """Take blocks, and tell what was read meanwhile.

        Parameters
        ----------
        blocks : sequence of Block
        over : bool
            There are no more for now: all is embedded and sealed, and told of as `idle`.
        at_once : bool
            What was not begun is left; waits until all else is sealed.
        """
        if blocks and self._feed is None:
            self._feed = Feed(self._extractors, self._threads)
        feed = self._feed
        if feed is None:
            return as_news([], [], self._taken_notes(), AHEAD * self._threads, idle=True)
        for block in blocks:
            feed.put(block)
        if over:
            feed.close(at_once)
        (feed.ended if over else feed.heard).wait(None if at_once else WAIT)
        feed.heard.clear()
        news = feed.news(self._taken_notes())
        if news.idle:
            self._feed = None
        return news

    def _taken_notes(self) -> list[str]:
        notes, self._notes[:] = list(self._notes), []
        return notes

    def _extractor(self, task: Task) -> Extractor:
        workspace = Workspace.locate(task.workspace)
        found = Extractor(
            workspace, task.backbone, task.decoding, task.options, self._notes.append, task.view
        )
        if found.space.id != task.space:
            raise UserError(
                f"Expected the space {task.space[:12]} on each node, received {found.space.id[:12]} on {self.hello()}: "
                "another version of a library decodes there, or the weights are others. Install the same versions."
            )
        return found
