"""A command disturbed while it runs: killed, refused an operation, interrupted. The next run must end well."""

import errno
import os
import random
import resource
from collections.abc import Callable, Iterator
from functools import partial

from faults import layer
from faults.case import Case
from faults.child import Ended
from faults.layer import Layer
from faults.room import FIT, TUNE, Room, age, facts, leftovers
from faults.verdict import MENDED, SILENT, Verdict, judge, worst

OUT = ("cache", "export", "out.h5", "--force")
COMMANDS = {  # state before, command
    "extract": ("bare", ("extract", "pics")),
    "gc": ("full", ("cache", "gc")),
    "export": ("full", OUT),
    "fit-head": ("full", FIT),
    "archive": ("bare", ("extract", "more.zip")),
    "predict": ("full", ("predict", "new")),
}
REFUSALS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE)
REFUSED = ("write", "fsync", "rename", "open", "mkdir", "unlink")


def kills(room: Room, chance: random.Random) -> Iterator[Case]:
    """SIGKILL at each file operation in turn, by a shuffled list, and at moments in between."""
    yield from _endless(room, chance, COMMANDS, _kill)


def failures(room: Room, chance: random.Random) -> Iterator[Case]:
    """An operation that the system refuses, once or from then on; a limit on files or their size."""
    yield from _endless(room, chance, COMMANDS, _refuse)


def interrupts(room: Room, chance: random.Random) -> Iterator[Case]:
    """Ctrl-C at an operation."""
    yield from _endless(room, chance, COMMANDS, _interrupt)


def tuning(room: Room, chance: random.Random) -> Iterator[Case]:
    """All of these, of a fine-tune."""
    room.tune()
    how = (_kill, _refuse, _interrupt)
    while True:
        yield from _endless(room, chance, {"finetune": ("full", TUNE)}, chance.choice(how), 1)


Way = Callable[[Room, str, tuple[str, ...], random.Random], Case]


def _endless(room: Room, chance: random.Random, commands: dict, way: Way, most: int = 0) -> Iterator[Case]:
    number = 0
    while not most or number < most:
        names = list(commands)
        chance.shuffle(names)
        for name in names:
            number += 1
            yield way(room, *commands[name], random.Random(chance.random()))


def _operations(room: Room, state: str, words: tuple[str, ...], names: tuple[str, ...] = ()) -> list[str]:
    done = room.reference(state, words)[0][0].operations
    return [name for name, _ in done if not names or name in names]


def _kill(room: Room, state: str, words: tuple[str, ...], chance: random.Random) -> Case:
    share = chance.random()
    if chance.random() < 0.75:

        def at_operation() -> Verdict:
            number = 1 + int(share * len(_operations(room, state, words)))
            return _trial(
                room, state, words, lambda: room.run(*words, layer=Layer(room.here, layer.kill, number))
            )

        return Case(f"{words[0]} {words[1]} killed at {share:.1%} of its file operations", at_operation)

    def at_moment() -> Verdict:
        seconds = share * room.reference(state, words)[0][0].seconds
        return _trial(room, state, words, lambda: room.run(*words, kill_after=seconds))

    return Case(f"{words[0]} {words[1]} killed after {share:.1%} of its time", at_moment)


def _refuse(room: Room, state: str, words: tuple[str, ...], chance: random.Random) -> Case:
    share, name, number, on = (
        chance.random(),
        chance.choice(REFUSED),
        chance.choice(REFUSALS),
        chance.random() < 0.5,
    )
    if chance.random() < 0.1:
        kind, value = chance.choice(
            ((resource.RLIMIT_FSIZE, int(share * 300_000)), (resource.RLIMIT_NOFILE, 0))
        )
        spare = 3 + int(share * 20)

        def limited() -> Verdict:
            there = max(map(int, os.listdir("/proc/self/fd"))) if os.path.isdir("/proc/self/fd") else 10
            limits = {kind: value or there + spare}
            return _trial(room, state, words, partial(room.run, *words, limits=limits))

        what = f"files of {value} bytes at most" if value else f"{spare} files open at most"
        return Case(f"{words[0]} {words[1]}: {what}", limited)

    def refused() -> Verdict:
        at = 1 + int(share * len(_operations(room, state, words, (name,))))
        bad = Layer(room.here, layer.fail(number), at, (name,), on)
        return _trial(room, state, words, lambda: room.run(*words, layer=bad))

    often = "from then on" if on else "once"
    return Case(
        f"{words[0]} {words[1]}: {errno.errorcode[number]} at {share:.1%} of its {name}s, {often}", refused
    )


def _interrupt(room: Room, state: str, words: tuple[str, ...], chance: random.Random) -> Case:
    share, again = chance.random(), chance.random() < 0.3

    def interrupted() -> Verdict:
        number = 1 + int(share * len(_operations(room, state, words)))
        pressed = Layer(room.here, layer.interrupt, number, on=again)
        return _trial(room, state, words, lambda: room.run(*words, layer=pressed))

    often = ", again and again" if again else ""
    return Case(f"{words[0]} {words[1]}: Ctrl-C at {share:.1%} of its file operations{often}", interrupted)


def _trial(room: Room, state: str, words: tuple[str, ...], disturbed: Callable[[], Ended]) -> Verdict:
    """Disturb the command, run it again, clean up: the same facts as without the fault, and nothing left over."""
    (usual, plain), _, (_, expected) = room.reference(state, words, words, ("cache", "gc"))
    room.lay(state)
    ended = disturbed()
    verdicts = []
    if ended.code != -9 or ended.hangs:
        verdicts.append(judge(ended, usual, facts(room.here) == plain))
    else:
        verdicts.append(Verdict(MENDED))
    again = room.run(*words)
    if again.code or again.broke:
        said = again.broke or f"exit {again.code}: {again.err.strip()[-200:]}"
        verdicts.append(Verdict(SILENT, " ".join(words), f"the next run does not end well: {said}"))
    age(room.here)
    clean = room.run("cache", "gc")
    if clean.code or clean.broke:
        verdicts.append(
            Verdict(SILENT, "cache gc", f"afterwards: exit {clean.code} {clean.broke or clean.err}")
        )
    verdicts += [Verdict(SILENT, "cache gc", f"left over: {left}") for left in leftovers(room.here)[:1]]
    found = facts(room.here)
    different = [name for name in expected if found[name] != expected[name]]
    if different:
        verdicts.append(
            Verdict(SILENT, " ".join(words), f"after the next run other {' and '.join(different)}")
        )
    return worst(verdicts)
