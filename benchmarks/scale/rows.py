"""Names, membership, unchanged files and near copies of many rows, each in a process of its own."""

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from cache.manifest import Manifest
from cache.storage.columns.halves import widened
from cache.storage.columns.texts import Texts
from cache.storage.rows import Rows
from cache.workspace import Workspace
from extract.embedding.thumbnails import thumbnails_of
from scale.made import workspace
from scale.measured import command, program

PARTS = ("names", "cache", "read", "warm", "copies")
SHARD = 65_536
SIDE = 32
BLOCK = 4_096  # rows


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=128, help="of the rows; 1280 for near copies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "coldframe-scale")


def run(asked: argparse.Namespace) -> None:
    {"names": names, "cache": cache, "read": read, "warm": warm, "copies": copies}[asked.part](asked)


def names(asked: argparse.Namespace) -> None:
    """Load a manifest of paths of 37 bytes."""
    n, path = asked.rows, asked.folder / f"names-{asked.rows}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        key = np.random.default_rng(asked.seed).integers(256, size=(n, 32), dtype=np.uint8)
        paths = Texts.of(f"class_{row % 1000:04d}/picture_{row:09d}_2026.jpg" for row in range(n))
        classes = tuple(f"class_{number:04d}" for number in range(1000))
        zeros = np.zeros(n, np.int64)
        label = (np.arange(n) % 1000).astype(np.int32)
        Manifest("/data", classes, paths, label, zeros.astype("u1"), key, zeros, zeros).save(path)
    print(
        f"loaded: {_timed(f'Manifest.load(Path({str(path)!r}))', 'found.paths[len(found) // 2]')}", flush=True
    )


def cache(asked: argparse.Namespace) -> None:
    """List a cache, and ask it for all its keys."""
    place = workspace(asked.folder, asked.rows, asked.columns, 20, asked.seed)
    print(f"cache ls: {command('cache', 'ls', '--workspace', str(place.root))}", flush=True)
    prepared = f"data = Workspace(Path({str(place.root)!r})); keys = data.manifest('made-up').key"
    asking = _timed("data.spaces()[0].contains(keys)", "int(found.sum())", prepared)
    print(f"membership: {asking}", flush=True)


def read(asked: argparse.Namespace) -> None:
    """Read four of five rows in blocks, and make float32 of what one shard stores, as NumPy does it and as we do."""
    place = workspace(asked.folder, asked.rows, asked.columns, 20, asked.seed)
    data = place.load()
    rows = Rows(data.store, data.manifest.key)
    some = np.flatnonzero(np.random.default_rng(asked.seed).random(asked.rows) < 0.8)
    some = some[rows.in_file_order(some)]
    halves = data.store.shards()[0].take(np.arange(min(asked.rows, SHARD) // 2))

    def blocks() -> None:
        for start in range(0, len(some), BLOCK):
            rows.take(some[start : start + BLOCK])

    ways = {"rows": blocks, "NumPy": lambda: halves.astype(np.float32), "ours": lambda: widened(halves)}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(5):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            took[name].append(time.perf_counter() - began)
    least = {name: min(times) for name, times in took.items()}
    theirs, ours = (least[name] / halves.size * 1e9 for name in ("NumPy", "ours"))
    print(f"{len(some):,} rows read: {least['rows']:.2f} s, least of five")
    print(f"a number widened: NumPy {theirs:.2f} ns, ours {ours:.2f} ns, {theirs / ours:.1f} x")


def warm(asked: argparse.Namespace) -> None:
    """Extract a folder of which nothing has changed: the files are not opened, so that empty ones will do."""
    root = asked.folder / f"files-{asked.rows}"
    pictures, place = root / "pictures", root / "workspace"
    if not (place / "current.json").exists():
        shutil.rmtree(root, ignore_errors=True)
        for number in range(100):
            (pictures / f"class{number:02d}").mkdir(parents=True)
        for row in range(asked.rows):
            os.close(os.open(pictures / f"class{row % 100:02d}" / f"{row:08d}.jpg", os.O_CREAT | os.O_WRONLY))
        program(["-c", _HELD.format(pictures=str(pictures), place=str(place), seed=asked.seed)])
    found = command("extract", str(pictures), "--workspace", str(place), "--json")
    said = json.loads(found.output)
    print(f"warm extract: {found}; {said['cached']:,} cached, {said['embedded']:,} embedded", flush=True)


def copies(asked: argparse.Namespace) -> None:
    """Find near copies: of ten pictures one is a copy of another, a quarter of these mirrored; count those found."""
    place = workspace(asked.folder / "copies", asked.rows, asked.columns, 20, asked.seed)
    planted = _plant(place, asked.rows, asked.seed)
    np.save(place.root / "planted.npy", planted)
    for kept in (place.root / "spaces").glob("*/neighbours/copies-*.h5"):
        kept.unlink()
    print(f"near copies: {program(['-c', _COPIES.format(place=str(place.root))])}", flush=True)


def _plant(place: Workspace, n: int, seed: int) -> np.ndarray:
    """Make thumbnails, a tenth of them of copies whose rows are alike, too; (m, 2) rows of copy and picture."""
    data = place.load()
    store = thumbnails_of(place, data.space).create()
    there, planted = len(store.paths()) > 0, []
    waves = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij"))
    fall = 1 / np.maximum(waves, 1 / SIDE).astype(np.float32)  # as of photographs
    for start in range(0, n, SHARD):
        draw, count = np.random.default_rng([seed, start]), min(SHARD, n - start)
        copies, of = np.split(draw.permutation(count)[: count // 10 * 2], 2)
        planted.append(start + np.stack([copies, of], axis=1))
        if there:
            continue
        luma = draw.standard_normal((count, SIDE, SIDE), np.float32)
        for some in np.split(luma, range(4096, count, 4096)):
            some[:] = np.fft.irfft2(np.fft.rfft2(some) * fall, s=(SIDE, SIDE))
            some *= 40 / some.std(axis=(1, 2), keepdims=True)
        luma[copies] = luma[of] + draw.standard_normal((len(of), SIDE, SIDE), np.float32)
        luma[copies[::4]] = luma[copies[::4], :, ::-1]
        key = data.manifest.key[start : start + count]
        store.add(key, (luma + 128).clip(0, 255).round())
        rows = data.store.gather(key[of])
        data.store.add(key[copies], rows * draw.normal(1, 0.05, rows.shape))
    return np.concatenate(planted)


def _timed(what: str, then: str, prepared: str = "") -> str:
    timed = f"began = time.perf_counter(); found = {what}; took = time.perf_counter() - began"
    found = program(["-c", "\n".join([_START, prepared, timed, f"print({then}, f'in {{took:.2f}} s')"])])
    return f"{found.output.strip()}; whole process {found}"


_START = """
import time
from pathlib import Path
import numpy as np
from cache.manifest import Manifest
from cache.workspace import Workspace
"""

_HELD = """
import numpy as np
from pathlib import Path
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.embedding.extractor import Extractor
from extract.embedding.thumbnails import facts_store, thumbnails_of
from extract.settings import Decoding, Options
from extract.sources.source import scan

place, found = Workspace(Path({place!r})), scan(Path({pictures!r})).manifest
extractor = Extractor(place, Backbone.of(), Decoding(), Options())
draw = np.random.default_rng({seed})
found.key[:] = draw.integers(256, size=found.key.shape, dtype=np.uint8)
stores = extractor.store, thumbnails_of(place, extractor.space), facts_store(place, extractor.space)
for store in stores:
    for start in range(0, len(found), 65_536):
        key = found.key[start : start + 65_536]
        store.create().add(key, np.zeros((len(key), 8), store.space.dtype))
place.save_manifest("pictures", found)
place.remember(dataset="pictures", space=extractor.space.id)
"""

_COPIES = """
import sys, time
from pathlib import Path
import numpy as np
from cache.workspace import Workspace
from classify.data.neighbours.copies import copies_of
from extract.embedding.thumbnails import thumbnails_of

place = Workspace(Path({place!r}))
data, planted = place.load(), np.load({place!r} + "/planted.npy")
began = time.perf_counter()
found = copies_of(data, thumbnails_of(place, data.space))
took = time.perf_counter() - began
told = (found.group[planted[:, 0]] == found.group[planted[:, 1]]).mean()
lines = [f"{{took:.1f}} s; of {{found.candidates:,}} pairs laid over each other {{len(found.pairs):,}} are copies",
         f"{{told:.2%}} of {{len(planted):,}} planted copies are found", *found.notes]
print(*lines, sep="\\n", file=sys.stderr)
"""
