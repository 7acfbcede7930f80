"""What became of a fault."""

import re
from dataclasses import dataclass

from faults.child import Ended

# From harmless to what must not be.
HARMLESS, MENDED, NOTICED, SILENT, TRACEBACK = OUTCOMES = (
    "harmless",
    "mended",
    "noticed",
    "silent",
    "traceback",
)


@dataclass(frozen=True)
class Verdict:
    """An outcome; the command that shows it, and what it did."""

    outcome: str
    command: str = ""
    detail: str = ""


def worst(verdicts: list[Verdict]) -> Verdict:
    """The one of several that must be told."""
    return max(verdicts, key=lambda verdict: OUTCOMES.index(verdict.outcome))


def judge(ended: Ended, undisturbed: Ended, same: bool) -> Verdict:
    """Judge a command beside its undisturbed run; `same`: whether its result is identical."""
    command = " ".join(ended.words)
    if ended.broke:
        return Verdict(TRACEBACK, command, ended.broke)
    new = told(ended) - told(undisturbed)
    if ended.code != undisturbed.code:
        if not new:
            return Verdict(SILENT, command, f"exit {ended.code} without a word")
        return Verdict(NOTICED, command, f"exit {ended.code}: {sorted(new)[0][:200]}")
    if same:
        return Verdict(HARMLESS, command)
    if new:
        return Verdict(NOTICED, command, sorted(new)[0][:200])
    return Verdict(SILENT, command, f"another result, and not a word: {ended.out.strip()[:300]}")


def told(ended: Ended) -> set[str]:
    """The lines for people, without numbers, times and names that chance has a part in."""
    lines = re.split(r"[\r\n]+", ended.err + (ended.out if not ended.out.startswith(("{", "[")) else ""))
    return {re.sub(r"[0-9a-f]{8,}|\d+(\.\d+)?", "#", line).strip() for line in lines if line.strip()}
