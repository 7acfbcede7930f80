"""Faults on purpose: `python benchmarks/faults.py [FOLDER] [--minutes M | --short] [--only KIND ...] [--seed S]`.

Runs commands in real processes on a workspace of 40 pictures (of FOLDER, else drawn), kills them, refuses them file
operations, damages their files, and so on, and says what became of each fault:

    harmless    the result is identical, and no file needed mending
    mended      the same or the next run puts it right: the result is identical
    noticed     an exit code and a message, or a message and a counted reject
    silent      another result and no word, a next run that fails, something left over for ever
    traceback   a traceback, a crash, or a command that hangs

The exit code is 1 if anything is silent or a traceback. A case is repeated with its seed and its number:
`--only KIND --seed S --number N`. POSIX only; writes are seen on Linux only.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from faults import crowd, damage, disturbed, oddities, terminal
from faults.room import Room, preload, remove
from faults.verdict import OUTCOMES, SILENT, TRACEBACK

KINDS = {  # name: cases, how many of them are in the short form
    "kill": (disturbed.kills, 5),
    "refusal": (disturbed.failures, 7),
    "interrupt": (disturbed.interrupts, 3),
    "damage": (damage.damages, 10),
    "oddity": (oddities.oddities, 10),
    "crowd": (crowd.crowds, 3),
    "output": (terminal.outputs, 4),
    "ctrl-c": (terminal.presses, 2),
    "finetune": (disturbed.tuning, 0),
    "model": (damage.tuned_damages, 0),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="class folders to take pictures from")
    parser.add_argument("--minutes", type=float, default=10, help="for how long, spread over the kinds")
    parser.add_argument("--short", action="store_true", help="a fixed number of cases, about a minute")
    parser.add_argument("--only", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--number", type=int, help="only this case of each kind")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="coldframe-faults-"))
    os.environ["MPLCONFIGDIR"] = str(scratch / "matplotlib")
    try:
        preload()
        room = Room(scratch, options.folder)
        room.prepare()
        results: list[dict] = []
        with contextlib.suppress(KeyboardInterrupt):  # what was tried is told
            campaign(room, options, results)
    finally:
        remove(scratch)
    counts = {
        kind: Counter(each["outcome"] for each in results if each["kind"] == kind) for kind in options.only
    }
    bad = [each for each in results if each["outcome"] in (SILENT, TRACEBACK)]
    print(json.dumps({"seed": options.seed, "cases": results}) if options.json else table(counts))
    for each in bad:
        say(
            f"{each['outcome']}: {each['fault']}\n    {each['command']}: {each['detail']}\n    again: python "
            f"benchmarks/faults.py --only {each['kind']} --seed {options.seed} --number {each['number']}"
        )
    return 1 if bad else 0


def campaign(room: Room, options: argparse.Namespace, results: list[dict]) -> None:
    """Run the kinds side by side, those that need TensorFlow after the others: once imported, it stays."""
    light = [kind for kind in options.only if KINDS[kind][1]]
    heavy = [kind for kind in options.only if not KINDS[kind][1]]
    for kinds in filter(None, (light, heavy)):
        share = 60 * options.minutes * len(kinds) / len(options.only)
        side_by_side(room, kinds, share, options, results)


def side_by_side(
    room: Room, kinds: list[str], seconds: float, options: argparse.Namespace, results: list[dict]
) -> None:
    """Run cases, of the kind that had the least time so far, until time is up or each kind has had its number."""
    cases, spent = {}, dict.fromkeys(kinds, 0.0)
    for kind in kinds:
        numbered = enumerate(KINDS[kind][0](room, random.Random(f"{options.seed} {kind}")))
        if options.number is not None:
            numbered = itertools.islice(numbered, options.number, options.number + 1)
        elif options.short:
            numbered = itertools.islice(numbered, KINDS[kind][1])
        cases[kind] = numbered
    end = time.monotonic() + seconds
    while cases and (options.short or options.number is not None or time.monotonic() < end):
        kind = min(cases, key=lambda kind: spent[kind])
        started = time.monotonic()
        number, case = next(cases[kind], (None, None))
        if case is None:
            del cases[kind]
            continue
        verdict = case.trial()
        spent[kind] += time.monotonic() - started
        about = {"kind": kind, "number": number, "fault": case.name}
        results.append(about | {"seconds": round(time.monotonic() - started, 2)} | vars(verdict))
        if sys.stderr.isatty() or options.number is not None or verdict.outcome in (SILENT, TRACEBACK):
            say(f"{kind} {number}: {case.name}: {verdict.outcome} {verdict.detail}")


def table(counts: dict[str, Counter]) -> str:
    """Outcomes by kind of fault."""
    lines = [f"{'kind of fault':14}{'tried':>8}" + "".join(f"{name:>11}" for name in OUTCOMES)]
    for kind, count in {**counts, "all": sum(counts.values(), Counter())}.items():
        if not count:
            continue
        lines.append(f"{kind:14}{count.total():8,}" + "".join(f"{count[name]:11,}" for name in OUTCOMES))
    return "\n".join(lines)


def say(text: str) -> None:
    print(text.encode("unicode_escape").decode().replace("\\n", "\n"), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
