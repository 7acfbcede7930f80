"""Damage of one file of a workspace, its runs, or the user's converted networks."""

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faults.case import Case
from faults.child import Ended
from faults.disturbed import OUT
from faults.room import FIT, Room, content, facts
from faults.verdict import HARMLESS, MENDED, Verdict, judge, worst

EXTRACT, LIST, VERIFY = (
    ("extract", "pics", "--json"),
    ("cache", "ls", "--json"),
    ("cache", "verify", "--json"),
)
PREDICT, FIT_JSON, EXPORT = ("predict", "new", "--json"), (*FIT, "--json"), (*OUT, "--json")
ARCHIVE = ("extract", "more.zip", "--json")
READERS = {  # files as a pattern of their path: the commands that read them; the first that fits
    r"spaces/.*/shards/": (FIT_JSON, EXPORT, VERIFY, EXTRACT, EXPORT),
    r"spaces/.*/rejects/": (EXTRACT,),
    r"spaces/": (PREDICT, EXTRACT, VERIFY, LIST, EXPORT),
    r"manifests/": (EXPORT, EXTRACT, LIST, ARCHIVE),
    r"splits/|readings/": (FIT_JSON, LIST),
    r"sources/": (ARCHIVE,),
    r"user/networks": (PREDICT, ("extract", "new2", "--json")),
    r"user/": (FIT_JSON, EXPORT, PREDICT),
    r"FORMAT.json|current.json": (PREDICT, LIST, EXTRACT, EXPORT),
    r"runs/.*finetune/": (PREDICT, LIST, ("finetune", "--resume", "--json")),
    r"": (PREDICT, LIST),
}
BLOWS = ("flip", "flip", "flip", "cut", "empty", "zeros", "json", "json", "deep", "fifo", "folder", "link")
CHANCE = (
    "rows",
    "seconds",
    "images_per_second",
    "run",
    "bytes",
    "milliseconds",
    "time",
    "embedded",
    "cached",
)


def damages(room: Room, chance: random.Random) -> Iterator[Case]:
    """Each kind of file of the state `full` in turn, in shuffled rounds."""
    yield from _rounds(room, chance, "full", r"^(?!user/networks)")


def tuned_damages(room: Room, chance: random.Random) -> Iterator[Case]:
    """Those of a fine-tune's run, and converted networks, which are converted again."""
    room.tune()
    yield from _rounds(room, chance, "tuned", r"^runs/.*finetune/|^user/networks")


def _rounds(room: Room, chance: random.Random, state: str, wanted: str) -> Iterator[Case]:
    root = room.states / state
    files = [
        path.relative_to(root).as_posix()
        for folder in (".coldframe", "runs", "user")
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
        and re.search(wanted, path.relative_to(root).as_posix())
        and path.suffix not in (".png", ".lock")
    ]
    files.sort(key=_kind)
    while True:
        kinds = {}
        for file in chance.sample(files, len(files)):
            kinds.setdefault(_kind(file), file)  # of each kind of file one a round
        for file in kinds.values():
            yield _case(room, state, file, chance.choice(BLOWS), random.Random(chance.random()))


def _kind(file: str) -> str:
    """The path without what differs between files of a kind."""
    return re.sub(r"[0-9a-f]{8,}|\d{8}T\d+|\d+", "#", file)


def _case(room: Room, state: str, file: str, blow: str, chance: random.Random) -> Case:
    name, new = _struck((room.states / state / file), blow, chance)
    commands = next(commands for pattern, commands in READERS.items() if re.search(pattern, file))

    def trial() -> Verdict:
        usual = room.reference(state, *commands, result=_result)
        room.lay(state)
        new(room.here / file)
        before = _mark(room.here / file)
        verdicts = []
        for words, (undisturbed, result) in zip(commands, usual, strict=True):
            ended = room.run(*words)
            same = _result(room, ended) == result
            verdicts.append(judge(ended, undisturbed, same))
        verdict = worst(verdicts)
        mended = verdict.outcome == HARMLESS and _mark(room.here / file) != before
        return Verdict(MENDED, verdict.command) if mended else verdict

    return Case(f"{_kind(file)} {name}", trial)


def _struck(path: Path, blow: str, chance: random.Random) -> tuple[str, Callable[[Path], None]]:
    """The damage in words, and how to do it."""
    data = path.read_bytes()
    if not data and blow in ("flip", "cut", "empty", "zeros"):
        blow = "folder"
    if blow in ("json", "deep") and path.suffix not in (".json", ".jsonl"):
        blow = "flip"
    if blow == "json":
        where, value = (
            _other(json.loads(data.splitlines()[0]), chance)
            if path.suffix == ".jsonl"
            else _other(json.loads(data), chance)
        )
        return f"has {where}", lambda path: _replace(path, json.dumps(value).encode())
    if blow == "deep":
        return "holds 10,000 nested lists", lambda path: _replace(path, b"[" * 10_000 + b"]" * 10_000)
    if blow == "flip":
        at, bit = chance.randrange(len(data)), chance.randrange(8)
        flipped = bytearray(data)
        flipped[at] ^= 1 << bit
        return f"bit {bit} of byte {at} flipped", lambda path: _replace(path, bytes(flipped))
    if blow == "cut":
        length = chance.randrange(len(data))
        return f"cut to {length} of {len(data)} bytes", lambda path: _replace(path, data[:length])
    if blow in ("empty", "zeros"):
        return blow, lambda path: _replace(path, bytes(len(data) if blow == "zeros" else 0))
    make = {
        "fifo": os.mkfifo,
        "folder": Path.mkdir,
        "link": lambda path: path.symlink_to("nowhere"),
    }[blow]

    def instead(path: Path) -> None:
        path.unlink()
        make(path)

    return f"is a {'dangling ' if blow == 'link' else ''}{blow}", instead


def _other(value: Any, chance: random.Random) -> tuple[str, Any]:
    """JSON of the wrong type: all of it, or one value in it; and which."""
    wrong = chance.choice(
        [None, True, -1, 1e308, "x", "", [], [[1]], {}, {"a": {"b": 1}}, 10**30, "\0\ud800"]
    )
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        where, other = _other(value[key], chance)
        return f"{key}.{where}", value | {key: other}
    return f"= {json.dumps(wrong)}", wrong


def _replace(path: Path, data: bytes) -> None:
    """Write a new file in the old one's place: the old one may be linked to a state. Its time stays."""
    old = path.stat()
    path.unlink()
    path.write_bytes(data)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    path.chmod(old.st_mode)


def _mark(path: Path) -> Any:
    if not os.path.lexists(path):
        return None
    return path.lstat().st_mode, path.read_bytes() if path.is_file() and not path.is_symlink() else b""


def _result(room: Room, ended: Ended) -> Any:
    """What a command found: its JSON without times and places, and what it wrote."""
    command = ended.words[0]
    try:
        said = _still(json.loads(ended.out))
    except ValueError:
        said = ended.out
    if command == "extract":
        name = Path(ended.words[1]).stem
        return said, facts(room.here)["manifests"].get(f"{name}.h5")
    if ended.words[:2] == ("cache", "export"):
        return said, content(room.here / "out.h5")
    if ended.words[:2] == ("cache", "ls"):
        return said
    return (said, facts(room.here)["answers"]) if command == "fit-head" else said


def _still(value: Any) -> Any:
    """JSON without what chance has a part in."""
    if isinstance(value, dict):
        return {name: _still(each) for name, each in value.items() if name not in CHANCE}
    return [_still(each) for each in value] if isinstance(value, list) else value
