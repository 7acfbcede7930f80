"""Measure `map`: time, size and trustworthiness, with openTSNE and without, again, and with pictures that are added.

python benchmarks/map.py --workspace .coldframe             # the data set used last
python benchmarks/map.py --rows 100000 --most 20000,100000  # made-up rows without files
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from cache.manifest import Manifest
from cache.space import Space
from cache.workspace import Workspace

ROOT = Path(__file__).parents[1]
WITHOUT = "import sys; sys.modules['openTSNE'] = None; import importlib.util as u; real = u.find_spec; "
WITHOUT += "u.find_spec = lambda name, *a: None if name == 'openTSNE' else real(name, *a); "
START = "import cli; sys.exit(cli.main())"
CHILD = "import sys; " + START
LUMPS, COLUMNS = 20, 1280


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", default=".coldframe")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--most", default="20000")
    asked = parser.parse_args()
    print("| what | pictures | wall, s | processor, s | MB | trustworthiness | n |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "workspace"
        if asked.rows:
            made_up(folder, asked.rows)
            for most in asked.most.split(","):
                shutil.rmtree(next(folder.glob("spaces/*")) / "maps", ignore_errors=True)
                tell(f"made up, {asked.rows:,} rows", folder, "--most", most)
            return
        shutil.copytree(asked.workspace, folder)
        for path in folder.glob("spaces/*/*"):
            if path.name in ("maps", "neighbours"):
                shutil.rmtree(path)
        tell("first, openTSNE", folder, "--fresh")
        tell("neighbours known", folder, "--fresh")
        tell("nothing new", folder)
        shutil.rmtree(next(folder.glob("spaces/*/maps")))
        tell("first nine tenths", folder, "--most", str(len(Workspace(folder).load().manifest) * 9 // 10))
        tell("the last tenth added", folder)
        tell("scikit-learn", folder, "--fresh", code="import sys; " + WITHOUT + START)


def tell(what: str, workspace: Path, *words: str, code: str = CHILD) -> None:
    """Run `map` in a process of its own, and print a line of the table."""
    words = ("map", "--json", "--workspace", str(workspace), *words)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, env=os.environ
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = json.loads(done.stdout)
    figures = f"{wall:.1f} | {processor:.1f} | {found['megabytes']:.2f} | {found['trustworthiness']:.3f}"
    print(f"| {what} | {found['pictures']:,} | {figures} | {found['trustworthiness_n']:,} |", flush=True)


def made_up(folder: Path, n: int) -> None:
    """A workspace of n rows around lumps, whose files are not there."""
    generator = np.random.default_rng(0)
    lump = np.arange(n) % LUMPS
    keys = b"".join(sha256(str(number).encode()).digest() for number in range(n))
    manifest = Manifest(
        root="/nowhere/pictures",
        classes=tuple(f"class {number}" for number in range(LUMPS)),
        paths=[f"class {number % LUMPS}/{number:08d}.jpg" for number in range(n)],
        label=lump.astype(np.int32),
        split=np.zeros(n, np.uint8),
        key=np.frombuffer(keys, np.uint8).reshape(n, 32).copy(),
        size=np.ones(n, np.int64),
        mtime_ns=np.ones(n, np.int64),
    )
    space = Space("made up", "0" * 64, "avg", 224, "crop", "none", "none", dtype="float16")
    workspace = Workspace(folder).create()
    centres = generator.normal(size=(LUMPS, COLUMNS)).astype(np.float32)
    for start in range(0, n, 10_000):
        some = slice(start, min(n, start + 10_000))
        rows = centres[lump[some]] + generator.normal(size=(some.stop - start, COLUMNS)) * 1.5
        workspace.store(space).add(manifest.key[some], rows)
    workspace.save_manifest("made up", manifest)
    workspace.remember(dataset="made up", space=space.id)


if __name__ == "__main__":
    main()
