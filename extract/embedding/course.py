"""One line for a whole command: what it is at, how far that is, and the time left where it is known."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from extract.embedding.progress import Progress, Say

Estimate = Callable[[], float | None]  # seconds, or None where nobody can know yet
TICK, SELDOM = 0.5, 10.0  # seconds between two pictures of the line: on a terminal, and in a file or pipe
CELLS = 12


class Course:
    """Where a command is: a stage, its steps, and what comes after it.

    Parameters
    ----------
    say : callable (line of text)
        Whatever is to stay on the screen.
    clock : callable () -> float
        Seconds.
    """

    def __init__(self, say: Say = lambda line: None, clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._lock = threading.RLock()
        self._first = self._began = clock()
        self._seconds: float | None = None
        self._after: Estimate = lambda: None
        self._done = self._total = 0
        self.part = ""
        self.words = ""
        self.changed: Callable[[], None] = lambda: None  # called when there is another stage
        self.clear: Callable[[], None] = lambda: None  # makes room for a line that stays

    def begin(
        self, words: str, *, seconds: float | None = None, after: Estimate = lambda: None, part: str = ""
    ) -> None:
        """Begin a stage.

        Parameters
        ----------
        words : str
            What is done in it.
        seconds : float, optional
            How long it will probably take, where that is known.
        after : callable () -> float or None
            Seconds that all later stages will take.
        part : str
            What the time left is for where that of the later stages is not known; without it, none is told then.
        """
        with self._lock:
            self._began, self._seconds, self._after = self._clock(), seconds, after
            self._done = self._total = 0
            self.words, self.part = words, part
        self.changed()

    def step(self, done: int, total: int) -> None:
        """Tell that so many of the stage's steps are done."""
        with self._lock:
            self._done, self._total = done, total

    @property
    def pace(self) -> float | None:
        """Seconds a step of this stage; None before the first."""
        return (self._clock() - self._began) / self._done if self._done else None

    def _own(self) -> float | None:
        """Seconds until the stage is over; None where that is not known, or was known wrongly."""
        elapsed = self._clock() - self._began
        if self._done:
            return elapsed / self._done * (self._total - self._done)
        return None if self._seconds is None or elapsed >= self._seconds else self._seconds - elapsed

    def left(self) -> tuple[float | None, str]:
        """Seconds left, and of what: nothing for the whole command, else the part that they are of."""
        with self._lock:
            own, after = self._own(), self._after()
            if own is not None and after is not None:
                return own + after, ""
            return (own, self.part) if self.part and own and own > 0.5 else (None, "")

    def line(self) -> str:
        """Say all of it in one line."""
        with self._lock:
            left, part = self.left()
            gone = self._clock() - self._first
            steps = f", {self._done:,} of {self._total:,}" if self._total else ""
            text = f"{self.words}{steps}, {_time(gone)} so far"
            if left is None:
                return text
            if part:
                return f"{text}, about {_time(left)} left for {part}"
            full = round(CELLS * gone / (gone + left)) if gone + left > 0 else 0
            return f"[{'#' * full}{'.' * (CELLS - full)}] {text}, about {_time(left)} left"

    def say(self, line: str) -> None:
        """Pass on a line that stays."""
        with self._lock:
            self.clear()
            self._say(line)

    def progress(self, words: str, after: Estimate = lambda: None) -> Progress:
        """Return a `Progress` whose files are the steps of a stage."""
        done = total = 0

        def start(files: int) -> None:
            nonlocal done, total
            done, total = 0, files
            if files:
                self.begin(words, after=after, part="this")

        def advance(more: int, rejected: int) -> None:
            nonlocal done
            done += more
            self.step(done, total)

        return Progress(start, advance, self.say)


@contextlib.contextmanager
def shown(course: Course, stopping: str) -> Iterator[Course]:
    """Show a course on standard error while the block runs; `stopping` is said at once at the first Ctrl-C.

    On a terminal the line is drawn over itself twice a second. In a file or pipe each stage is a line, and a long one
    a line every ten seconds.
    """
    over, terminal = threading.Event(), sys.stderr.isatty()
    with contextlib.ExitStack() as stack:
        if terminal:
            # A copy: what hides the chatter of libraries that start hides not this.
            stream = stack.enter_context(os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8"))
            draw, clear = _on_terminal(course, stream)
            course.changed, course.clear = draw, clear
            stack.callback(clear)
        else:
            draw = lambda: course.say(course.line())  # noqa: E731
            course.changed = lambda: course.say(course.words)

        def tick() -> None:
            while not over.wait(TICK if terminal else SELDOM):
                draw()

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        stack.callback(ticker.join)
        stack.callback(over.set)
        stack.enter_context(_told(course, stopping))
        yield course


def _on_terminal(course: Course, stream: Any) -> tuple[Callable[[], None], Callable[[], None]]:
    lock = threading.RLock()

    def write(text: str) -> None:
        with lock, contextlib.suppress(OSError, ValueError):  # a terminal that was closed
            stream.write(text)
            stream.flush()

    def draw() -> None:
        width = shutil.get_terminal_size().columns - 1
        write(f"\r{course.line()[:width]}\x1b[K\r")

    return draw, lambda: write("\r\x1b[K")


@contextlib.contextmanager
def _told(course: Course, stopping: str) -> Iterator[None]:
    """Answer the first Ctrl-C with a line at once; the second is like any other."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        course.say(stopping)
        raise KeyboardInterrupt

    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _time(seconds: float) -> str:
    """Seconds as people say them."""
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60} s"
