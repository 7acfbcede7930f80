"""Odd files among the pictures of a data set: each a row or a reject, the others undisturbed, nothing raw printed."""

import csv
import io
import os
import random
import socket
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from faults.case import Case
from faults.child import Ended
from faults.room import FIT, Room, facts, picture
from faults.verdict import HARMLESS, NOTICED, SILENT, TRACEBACK, Verdict, worst

MEMORY = 400  # MiB more than without the odd file
FORMULA = tuple("=+-@\t\r")


def oddities(room: Room, chance: random.Random) -> Iterator[Case]:
    """Each of the tables below in shuffled rounds."""
    while True:
        cases = [
            *(_picture(room, name, make) for name, make in FILES.items()),
            *(_name(room, name) for name in NAMES),
            *(_archive(room, name, make) for name, make in ARCHIVES.items()),
            *(_table(room, name, text) for name, text in TABLES.items()),
        ]
        yield from chance.sample(cases, len(cases))


def _jpeg(seed: int = 9) -> bytes:
    return picture(np.random.default_rng(seed), 1)


def _png(width: int, height: int, rows: int, channels: int = 3) -> bytes:
    """A PNG that declares its size and holds so many rows, in a stream that ends as it should."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes((channels * width + 1) * rows))
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def _socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def _sparse(size: int, head: bytes = b"") -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(head)
        os.truncate(path, size)

    return make


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _holding(data: Callable[[], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data())  # type: ignore[return-value]


FILES: dict[str, Callable[[Path], None]] = {  # each must end as a reject
    "link to /proc/kmsg": _link("/proc/kmsg"),
    "link to /dev/zero": _link("/dev/zero"),
    "link to /dev/full": _link("/dev/full"),
    "link to /dev/stdin": _link("/dev/stdin"),
    "link to /proc/self/mem": _link("/proc/self/mem"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "dangling link": _link("nowhere"),
    "fifo": os.mkfifo,
    "socket": _socket,
    "empty file": _holding(lambda: b""),
    "sparse file of 511 MiB": _sparse(511 << 20),
    "sparse file of 511 MiB that starts as a JPEG": _sparse(511 << 20, _jpeg()[:600]),
    "sparse file of 8 GiB": _sparse(8 << 30),
    "JPEG cut in its header": _holding(lambda: _jpeg()[:100]),
    "JPEG cut in its middle": _holding(lambda: _jpeg()[: len(_jpeg()) // 2]),
    "PNG of 60,000 x 60,000": _holding(lambda: _png(60_000, 60_000, 2)),
    "PNG with 25 of 10,000 rows, properly ended": _holding(lambda: _png(100, 10_000, 25)),
    "zip of pictures named .jpg": _holding(lambda: b"PK\x03\x04" + bytes(200)),
    "text": _holding(lambda: b"no picture\n"),
}
NAMES = (  # of a picture, and of a class
    b"\x1b[31mred\x1b[0m",
    b"\x1b]0;title\x07",
    b"two\nlines",
    b"car\rriage",
    b"not-utf8-\xff\xfe",
    "zero\u200bwidth\u202eright-to-left".encode(),
    b"=HYPERLINK(1)",
    b"+1",
    b"-1+1",
    b"@SUM(1)",
    b'quote"comma,semi;colon',
    b" leading and trailing ",
    b"%s%n{0}[bold]",
    b"x" * 240,
)
TABLES = {
    "text without an end of quotes": b'path,label\n"pics/ash/00.jpg,a\npics/birch/00.jpg,b\n',
    "NUL bytes": b"path,label\npics/ash/00.jpg,a\0\npics/birch/00.jpg,b\n",
    "ragged rows": b"path,label\npics/ash/00.jpg\npics/birch/00.jpg,b,c,d\n",
    "nothing": b"",
    "a header": b"path,label\n",
    "a cell of a megabyte": b"path,label\npics/ash/00.jpg," + b"a" * (1 << 20) + b"\n",
    "not UTF-8": b"path,label\npics/ash/00.jpg,\xff\xfe\npics/birch/00.jpg,b\n",
    "paths that lead out": b"path,label\n../../../etc/passwd,a\n/dev/zero,b\npics/ash/00.jpg,a\n",
    "formulas": b"path,label\npics/ash/00.jpg,=1+1\npics/ash/01.jpg,=1+1\npics/birch/00.jpg,@x\npics/birch/01.jpg,@x\n",
}


def _zip(*members: tuple[str, bytes]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            warnings.simplefilter("ignore")  # of names that occur twice
            for name, data in (("d/x/0.jpg", _jpeg(0)), ("d/y/1.jpg", _jpeg(1)), *members):
                archive.writestr(name, data)

    return make


def _tar(*members: tuple[str, bytes, str]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with tarfile.open(path, "w") as archive:
            for name, kind, target in (("d/x/0.jpg", tarfile.REGTYPE, ""), *members):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, target
                data = _jpeg() if kind == tarfile.REGTYPE else b""
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))

    return make


def _cut(make: Callable[[Path], None], share: float) -> Callable[[Path], None]:
    def cut(path: Path) -> None:
        make(path)
        os.truncate(path, int(path.stat().st_size * share))

    return cut


ARCHIVES = {
    "out.zip, member ../": _zip(("../../escaped.jpg", _jpeg())),
    "absolute.zip, member /": _zip(("/tmp/coldframe-escaped.jpg", _jpeg())),
    "twice.zip, a name twice": _zip(("d/x/0.jpg", _jpeg(5))),
    "names.zip, escape sequences": _zip(("d/\x1b[31mz/0.jpg", _jpeg()), ("d/x/a\nb.jpg", _jpeg())),
    "bomb.zip, 300 MB of zeros": _zip(("d/x/bomb.jpg", bytes(300 << 20))),
    "both.zip, a name that is a file and a folder": _zip(("d/x", b"file"), ("d/x/0.jpg/inner.jpg", _jpeg())),
    "cut.zip": _cut(_zip(), 0.6),
    "cut.tar": _cut(_tar(("d/y/1.jpg", tarfile.REGTYPE, "")), 0.3),
    "empty.zip": lambda path: path.write_bytes(b""),
    "none.tar, no member": lambda path: path.write_bytes(bytes(10_240)),
    "links.tar, links that lead out": _tar(
        ("d/y/p.jpg", tarfile.SYMTYPE, "/etc/passwd"), ("d/y/q.jpg", tarfile.LNKTYPE, "../../../etc/passwd")
    ),
    "devices.tar": _tar(("d/y/dev", tarfile.CHRTYPE, ""), ("d/y/fifo", tarfile.FIFOTYPE, "")),
    "out.tar, member ../": _tar(("../../escaped.jpg", tarfile.REGTYPE, "")),
    "through.tar, a link and a file through it": _tar(
        ("d/y", tarfile.SYMTYPE, "/tmp"), ("d/y/coldframe-escaped.jpg", tarfile.REGTYPE, "")
    ),
}


def _picture(room: Room, name: str, make: Callable[[Path], None]) -> Case:
    def odd() -> None:
        make(room.here / "pics" / "ash" / "odd.jpg")

    return Case(f"{name} among the pictures", lambda: _trial(room, odd, rejects=1))


def _name(room: Room, name: bytes) -> Case:
    def odd() -> None:
        folder = os.fsencode(room.here / "pics") + b"/" + name
        os.mkdir(folder)
        for number in range(3):
            with open(folder + b"/" + name[:200] + b"%d.jpg" % number, "wb") as file:
                file.write(_jpeg(100 + number))

    return Case(f"class and pictures named {name[:40]!r}", lambda: _trial(room, odd, fit=True))


def _archive(room: Room, name: str, make: Callable[[Path], None]) -> Case:
    file = name.partition(",")[0]
    return Case(f"archive {name}", lambda: _trial(room, lambda: make(room.here / file), source=file))


def _table(room: Room, name: str, data: bytes) -> Case:
    def odd() -> None:
        (room.here / "odd.csv").write_bytes(data)

    return Case(f"table with {name}", lambda: _trial(room, odd, source="odd.csv", fit=True))


def _trial(
    room: Room, odd: Callable[[], None], source: str = "pics", rejects: int = 0, fit: bool = False
) -> Verdict:
    """Make the odd thing and run what reads it; it must be refused, rejected or a row, and the rest as ever."""
    ((usual, expected),) = room.reference("bare", ("extract", "pics"))
    room.lay("bare")
    odd()
    outside = {path.name for path in room.here.parent.iterdir() if not path.name.startswith("said-")}
    ended = [room.run("extract", source), room.run("manifest", source)]
    if fit and not ended[0].code:
        ended += [room.run(*FIT), room.run("predict", source if (room.here / source).is_dir() else "new")]
    verdicts = [_judge(each, usual) for each in ended]
    command = " ".join(ended[0].words)
    new = ended[0].err.count("rejected ") - usual.err.count("rejected ")
    if source == "pics" and not ended[0].code:
        if new < rejects:
            verdicts.append(Verdict(SILENT, command, f"{rejects - new} rejects are missing"))
        found = {space: rows.items() for space, rows in facts(room.here)["rows"].items()}
        if not all(rows.items() <= found.get(space, set()) for space, rows in expected["rows"].items()):
            verdicts.append(Verdict(SILENT, command, "other rows of the other pictures"))
    if {path.name for path in room.here.parent.iterdir() if not path.name.startswith("said-")} != outside:
        verdicts.append(Verdict(SILENT, command, "a file outside the workspace"))
    if Path("/tmp/coldframe-escaped.jpg").exists():
        verdicts.append(Verdict(SILENT, command, "a file in /tmp"))
    for path in sorted(room.here.glob("runs/*/*.csv")):
        verdicts += _formulas(path.read_bytes().decode("utf-8", "surrogateescape"), str(path.parent.name))
    for each in ended:
        if each.words[0] == "predict":
            verdicts += _formulas(each.out, "predict")
    if rejects and worst(verdicts).outcome == HARMLESS:
        verdicts.append(Verdict(NOTICED, command))
    return worst(verdicts)


def _judge(ended: Ended, usual: Ended) -> Verdict:
    command = " ".join(ended.words)
    if ended.broke:
        return Verdict(TRACEBACK, command, ended.broke)
    raw = [letter for letter in ended.out + ended.err if not (letter.isprintable() or letter in "\n\r\t")]
    if raw and ended.words[0] != "predict":
        return Verdict(SILENT, command, f"prints {sorted(set(raw))[:5]!r} raw")
    if ended.peak > usual.peak + MEMORY:
        return Verdict(SILENT, command, f"peak of {ended.peak:.0f} MiB instead of {usual.peak:.0f}")
    if ended.code and not ended.err.strip():
        return Verdict(SILENT, command, f"exit {ended.code} without a word")
    return Verdict(NOTICED, command, ended.err.strip()[:200]) if ended.code else Verdict(HARMLESS, command)


def _formulas(text: str, where: str) -> list[Verdict]:
    # A lone carriage return in a name is no end of a line in these tables, but to this reader.
    cells = [cell for row in csv.reader(io.StringIO(text.replace("\r", " "))) for cell in row]
    return [
        Verdict(SILENT, where, f"a cell of a CSV file that a spreadsheet runs: {cell[:40]!r}")
        for cell in cells
        if cell.startswith(FORMULA) and not _number(cell)
    ][:1]


def _number(cell: str) -> bool:
    try:
        return float(cell) == float(cell)
    except ValueError:
        return False
