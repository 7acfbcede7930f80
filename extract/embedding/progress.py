"""Where a run tells how it goes: calls, a bar, a line every few seconds."""

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


def bar() -> Progress:
    """A bar on the terminal, from the third second on."""
    from tqdm import tqdm

    bar: tqdm | None = None

    def start(count: int) -> None:
        nonlocal bar
        bar = tqdm(total=count, unit=" images", delay=2.0, leave=False)

    def advance(done: int, rejected: int) -> None:
        assert bar is not None
        bar.update(done)
        if bar.n >= bar.total:
            bar.close()

    return Progress(start, advance)


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
