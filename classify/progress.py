"""Lines of progress, not too many."""

import time
from collections.abc import Callable

INTERVAL = 5.0  # seconds between two lines


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
