"""A run that is loaded while its page is there already."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from cache.errors import UserError

if TYPE_CHECKING:
    from classify.commands.serve.answers import Answerer


class Loading:
    """An answerer that is on its way; whoever needs it waits.

    Parameters
    ----------
    run : Path
        Its folder, or a .keras file.
    load : callable
        Makes it, in a thread of its own.
    """

    def __init__(self, run: Path, load: Callable[[], Answerer]) -> None:
        self.run, self._load = run, load
        self._future: Future[Answerer] = Future()
        self._stamp = self._now()
        Thread(target=self._work, name="load", daemon=True).start()

    def _work(self) -> None:
        try:
            self._future.set_result(self._load())
        except BaseException as error:
            self._future.set_exception(error)

    def get(self) -> Answerer:
        """Wait for it; UserError where it cannot be had."""
        return self._future.result()

    def state(self) -> dict[str, Any]:
        """How far it is, as plain values."""
        if not self._future.done():
            return {"state": "loading", "run": self.run.name}
        error = self._future.exception()
        if error is not None:
            said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            return {"state": "failed", "run": self.run.name, "error": said}
        answerer = self.get()
        return {
            "state": "ready",
            "run": self.run.name,
            "classes": answerer.classes,
            "notes": [*answerer.notes],
            "replaced": self._now() != self._stamp,
        }

    def _now(self) -> tuple[int, int]:
        file = self.run / "run.json" if self.run.is_dir() else self.run
        try:
            status = file.stat()
        except OSError:
            return (0, 0)
        return (status.st_mtime_ns, status.st_size)
