"""A command in a process of its own, measured."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Measured:
    """What a command took; memory is the largest of the process, in GB (10^9 bytes)."""

    seconds: float
    processor: float  # seconds of all cores
    memory: float
    output: str

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s ({self.processor:.1f} s of processor), {self.memory:.2f} GB"


def command(*words: str) -> Measured:
    """Run `python cli.py WORDS`; what it says of its progress is shown."""
    return program(["cli.py", *words])


def program(words: Sequence[str]) -> Measured:
    """Run `python WORDS` from the root of the project."""
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    output = child.stdout.read() if child.stdout else ""
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {child.returncode}:\n{output}")
    seconds = time.perf_counter() - began
    return Measured(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9, output)
