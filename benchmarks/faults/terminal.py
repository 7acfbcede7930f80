"""Programs started as people start them: outputs that are closed or full, and Ctrl-C while modules load."""

import random
from collections.abc import Iterator

from faults.case import Case
from faults.child import ROOT, real
from faults.room import FIT, Room, facts
from faults.verdict import HARMLESS, MENDED, NOTICED, SILENT, TRACEBACK, Verdict

COMMANDS = (
    ("cache", "ls"),
    ("extract", "pics"),
    ("manifest", "pics", "--json"),
    ("predict", "new"),
    ("backbones",),
    ("--help",),
    ("nonsense",),
    FIT,
)
ENDS = {  # of the shell line, and whether the result is lost
    '"$@" > /dev/full': True,
    '"$@" >&-': True,
    '"$@" 2>&-': False,
    '"$@" 2> /dev/full': False,
    '"$@" <&-': False,
    '"$@" >&- 2>&- <&-': True,
    '"$@" | true': True,
}
PRESS = """
import os, runpy, signal, sys
at, seen = int(sys.argv.pop(1)), []
def count(event, arguments):
    if event == "import":
        seen.append(event)
        if len(seen) == at:
            os.kill(os.getpid(), signal.SIGINT)
sys.path.insert(0, os.path.dirname(sys.argv[1]))
del sys.argv[0]
sys.addaudithook(count)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def outputs(room: Room, chance: random.Random) -> Iterator[Case]:
    """Every command with every end."""
    pairs = [(words, shell) for words in COMMANDS for shell in ENDS]
    while True:
        for words, shell in chance.sample(pairs, len(pairs)):
            yield _output(room, words, shell)


def presses(room: Room, chance: random.Random) -> Iterator[Case]:
    """Ctrl-C at an import: the first hundreds are those of the command line itself."""
    while True:
        yield _press(room, chance.choice(COMMANDS[:4]), int(1 + 900 * chance.random() ** 2))


def _output(room: Room, words: tuple[str, ...], shell: str) -> Case:
    def trial() -> Verdict:
        ((usual, _),) = room.reference("full", words)
        room.lay("full")
        ended = real(room.here, shell, words)
        command = " ".join(words)
        if ended.broke:
            return Verdict(TRACEBACK, command, ended.broke)
        if "2>" in shell and ended.code != usual.code and not ENDS[shell]:
            return Verdict(TRACEBACK, command, f"exit {ended.code} instead of {usual.code}, unheard")
        if "/dev/full" in shell and ENDS[shell] and usual.out.strip():
            lost = ended.code == 0 or not ended.err.strip()
            return Verdict(
                SILENT if lost else NOTICED, command, f"exit {ended.code}: {ended.err.strip()[-200:]}"
            )
        return Verdict(HARMLESS, command)

    return Case(shell.replace('"$@"', " ".join(words)), trial)


def _press(room: Room, words: tuple[str, ...], at: int) -> Case:
    def trial() -> Verdict:
        ((_, expected),) = room.reference("full", words)
        room.lay("full")
        ended = real(room.here, 'exec "$@"', words, ("-c", PRESS, str(at), str(ROOT / "cli.py")))
        command = " ".join(words)
        if ended.broke and ended.code != -2:
            return Verdict(TRACEBACK, command, ended.broke)
        if ended.code and not ended.err.strip():
            return Verdict(SILENT, command, f"exit {ended.code} without a word")
        if ended.code:
            room.run(*words)
        if facts(room.here) != expected:
            return Verdict(SILENT, command, "other facts after the next run")
        return Verdict(NOTICED if ended.code else MENDED, command, ended.err.strip()[-200:])

    return Case(f"{' '.join(words)}: Ctrl-C at import {at}", trial)
