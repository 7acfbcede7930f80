"""Where a run tells how it goes: calls, a bar, a line every few seconds."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

Say = Callable[[str], None]  # takes a line of text
INTERVAL = 5.0  # seconds between two lines


@dataclass(frozen=True)
class Progress:
    """Where a run tells how it goes."""

    start: Callable[[int], None] = lambda files: None
    advance: Callable[[int, int], None] = lambda done, rejected: None
    note: Callable[[str], None] = lambda text: None


def bar(note: Callable[[str], None] = lambda text: None) -> Progress:
    """A bar with rate, time left and rejects on standard error, for what takes more than a second."""
    from tqdm import tqdm

    bar: tqdm | None = None
    rejects = 0

    def start(files: int) -> None:
        nonlocal bar
        interval = 0.2 if sys.stderr.isatty() else 10.0
        bar = tqdm(
            total=files, unit=" images", mininterval=interval, delay=1.0, leave=False, dynamic_ncols=True
        )

    def advance(done: int, rejected: int) -> None:
        nonlocal rejects
        assert bar is not None
        if rejected:
            rejects += rejected
            bar.set_postfix_str(f"{rejects} rejected", refresh=False)
        bar.update(done)
        if bar.n >= bar.total:
            bar.close()

    return Progress(start, advance, note)


def seldom(say: Callable[[str], None]) -> Callable[[str], None]:
    """Pass on a line every few seconds, the first after as many; making a line costs little beside its work."""
    last = time.monotonic()

    def sometimes(line: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > INTERVAL:
            last = now
            say(line)

    return sometimes
