"""Many processes on one workspace, and a workspace or a data set that goes away under a running command."""

import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from faults.case import Case
from faults.child import Child, Ended
from faults.disturbed import OUT
from faults.layer import Layer
from faults.room import FIT, Room, content, facts
from faults.verdict import HARMLESS, NOTICED, SILENT, TRACEBACK, Verdict, judge, worst

EXTRACT, LIST, VERIFY, GC = ("extract", "pics"), ("cache", "ls"), ("cache", "verify"), ("cache", "gc")
CROWDS = {
    "four extracts": ("bare", [EXTRACT] * 4),
    "extract beside archive, ls and verify": (
        "bare",
        [EXTRACT, ("extract", "more.zip"), EXTRACT, LIST, VERIFY],
    ),
    "gc beside gc, verify, export and extract": ("full", [GC, GC, VERIFY, OUT, (*EXTRACT, "--force")]),
    "ls beside gc": ("full", [GC, LIST, LIST, GC, LIST]),
    "two fit-heads beside gc and predict": ("full", [FIT, GC, FIT, ("predict", "new"), ("predict", "new")]),
}


def crowds(room: Room, chance: random.Random) -> Iterator[Case]:
    """Crowds and removals in turn."""
    while True:
        for name, (state, commands) in chance.sample(list(CROWDS.items()), len(CROWDS)):
            yield _crowd(room, name, state, chance.sample(commands, len(commands)))
            yield _removed(room, chance.random(), *chance.choice(REMOVALS))


def _crowd(room: Room, name: str, state: str, commands: Sequence[tuple[str, ...]]) -> Case:
    def trial() -> Verdict:
        _, (_, expected) = room.reference("full", (*EXTRACT, "--force"), GC)
        room.lay(state)
        children = [Child(room.here, words) for words in commands]
        verdicts = []
        for ended in [child.wait(limit=120) for child in children]:
            command = " ".join(ended.words)
            if ended.broke:
                verdicts.append(Verdict(TRACEBACK, command, ended.broke))
            elif ended.code:
                said = ended.err.strip()[-200:]
                verdicts.append(Verdict(NOTICED if said else SILENT, command, f"exit {ended.code}: {said}"))
            else:
                verdicts.append(Verdict(HARMLESS, command))
        for words in (EXTRACT, GC, VERIFY):
            ended = room.run(*words)
            if ended.code or ended.broke:
                detail = f"afterwards: exit {ended.code} {ended.broke or ended.err.strip()[-200:]}"
                verdicts.append(Verdict(SILENT, " ".join(words), detail))
        found = facts(room.here)["rows"]
        if (
            not all(rows.items() <= expected["rows"][space].items() for space, rows in found.items())
            or not found
        ):
            verdicts.append(Verdict(SILENT, name, "other rows afterwards"))
        return worst(verdicts)

    return Case(f"at once: {name}", trial)


def _cut_shards(here: Path) -> None:
    for path in here.glob(".coldframe/spaces/*/shards/*.h5"):
        path.chmod(0o644)
        os.truncate(path, path.stat().st_size // 3)


def _tree(name: str) -> Callable[[Path], None]:
    return lambda here: shutil.rmtree(here / name, ignore_errors=True)


REMOVALS = [
    (words, state, what, act)
    for words, state in (
        (EXTRACT, "bare"),
        (FIT, "full"),
        (OUT, "full"),
        (GC, "full"),
        (("predict", "new"), "full"),
    )
    for what, act in (
        ("the workspace goes", _tree(".coldframe")),
        ("spaces/ goes", _tree(".coldframe/spaces")),
        ("the pictures go", _tree("pics")),
        ("runs/ goes", _tree("runs")),
        ("shards are cut", _cut_shards),
    )
]


def _removed(
    room: Room, share: float, words: tuple[str, ...], state: str, what: str, act: Callable[[Path], None]
) -> Case:
    def trial() -> Verdict:
        ((usual, expected),) = room.reference(state, words, result=_result)
        room.lay(state)
        at = 1 + int(share * len(usual.operations))
        ended = room.run(*words, layer=Layer(room.here, lambda _: act(room.here), at))
        return judge(ended, usual, _result(room, ended) == expected)

    return Case(f"{' '.join(words[:2])}: {what} at {share:.1%} of its file operations", trial)


def _result(room: Room, ended: Ended) -> object:
    """What the command itself was to bring about; what others remove behind it is their affair."""
    match ended.words:
        case ("cache", "export", *_):
            return content(room.here / "out.h5")
        case ("extract", *_):
            return facts(room.here)
        case ("cache", "gc"):
            return None
    return facts(room.here)["answers"]
