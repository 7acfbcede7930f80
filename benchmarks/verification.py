"""What comparing shards with their hashes costs a warm `fit-head`: `python benchmarks/verification.py FOLDER`.

Embeds FOLDER once, then runs `fit-head --model centroid --no-curve`, the shortest there is, in processes of their own:
in turns on a machine that has compared the shards before, and on one that has not.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHILD = """
import time
began = time.perf_counter()
import json, sys
import cli
from cache.storage import intact, store
spent = 0.0
def timed(real):
    def call(*arguments):
        global spent
        start = time.perf_counter()
        try:
            return real(*arguments)
        finally:
            spent += time.perf_counter() - start
    return call
for name in ("has", "add"):
    setattr(intact.Intact, name, timed(getattr(intact.Intact, name)))
store.is_intact = timed(store.is_intact)
code = cli.main(sys.argv[1:])
print(json.dumps([spent, time.perf_counter() - began]), file=sys.stderr)
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Path(temporary, "workspace")
        subprocess.run(
            [sys.executable, "cli.py", "extract", options.folder.absolute(), "--workspace", workspace],
            cwd=ROOT,
            check=True,
        )
        fit(temporary, workspace)
        rounds = []
        for number in range(options.rounds):
            unseen = Path(temporary, f"another machine {number}")
            rounds.append([fit(temporary, workspace), fit(temporary, workspace, COLDFRAME_CACHE=str(unseen))])
            shutil.rmtree(unseen)
    print("| shards | comparing, ms | the whole command, s | share |\n| --- | ---: | ---: | ---: |")
    for name, times in zip(("compared before", "not yet compared"), zip(*rounds, strict=True), strict=True):
        spent, whole = (statistics.median(column) for column in zip(*times, strict=True))
        share = statistics.median(part / all_ for part, all_ in times)
        print(f"| {name} | {1e3 * spent:.1f} | {whole:.2f} | {share:.2%} |")


def fit(temporary: str, workspace: Path, **more: str) -> tuple[float, float]:
    """Run the command; seconds spent on comparing, and in all."""
    words = ["fit-head", "--model", "centroid", "--no-curve", "--workspace", str(workspace)]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *words],
        cwd=ROOT,
        env={**os.environ, **more},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return tuple(json.loads(done.stderr.splitlines()[-1]))


if __name__ == "__main__":
    main()
