"""One fault and how to see what becomes of it."""

from collections.abc import Callable
from dataclasses import dataclass

from faults.verdict import Verdict


@dataclass(frozen=True)
class Case:
    """A fault in words, and the trial that returns its verdict."""

    name: str
    trial: Callable[[], Verdict]
