"""Pictures and rows in object storage, on a server of S3 on this machine, beside those on the disk."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from scale.measured import command

SHARES = (1 / 256, 1 / 64, 1 / 16, 1 / 4, 1 / 2, 1.0)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pictures", type=Path, default=Path(__file__).parents[3] / "shared" / "flowers")
    parser.add_argument("--most", type=int, default=10**9, help="of these pictures, a class after the other")
    parser.add_argument("--repeat", type=int, default=3, help="by turns from the disk and from S3")
    parser.add_argument("--rows", type=int, default=65_536, help="of one shard, 1,280 float16 each; 0: none")
    parser.add_argument("--seed", type=int, default=0)


def run(asked: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as place, server(Path(place)) as process:
        extraction(asked.pictures, asked.most, asked.repeat, Path(place), process)
        if asked.rows:
            reading(asked.rows, asked.seed, Path(place))


@contextmanager
def server(place: Path) -> Iterator[int]:
    """Run moto's server in a process of its own, with a bucket, and have the environment lead to it; its id."""
    code = (
        "import sys, time; from moto.server import ThreadedMotoServer; server = ThreadedMotoServer(port=0, "
        "verbose=False); server.start(); print(server.get_host_and_port()[1], flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(place / "server.log").open("w"),
        text=True,
    )
    assert child.stdout is not None
    endpoint = f"http://127.0.0.1:{int(child.stdout.readline())}"
    os.environ |= {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
    }
    import boto3

    try:
        boto3.client("s3").create_bucket(Bucket="bucket")
        yield child.pid
    finally:
        child.terminate()
        child.wait()


def spent(process: int) -> float:
    """Seconds of processor that a running process has had."""
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def extraction(pictures: Path, most: int, repeat: int, place: Path, server: int) -> None:
    from cache.storage.remote.objects import Objects

    files = [path for path in sorted(pictures.rglob("*")) if path.is_file() and path.suffix.lower() == ".jpg"]
    files = files[:: max(1, -(-len(files) // most))]
    objects = Objects("s3://bucket/pictures")

    def upload(path: Path) -> None:
        name = path.relative_to(pictures).as_posix()
        objects.put(name, path.read_bytes())
        (place / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place / "pictures" / name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(upload, files))
    command(
        "extract", str(place / "pictures"), "--workspace", str(place / "first"), "--quiet"
    )  # pages into memory
    print(f"extract of {len(files):,} pictures, cold: network converted, files in the memory of the system")
    disk, far, both = list[float](), list[float](), list[float]()
    for turn in range(repeat):
        disk.append(told("from the disk", str(place / "pictures"), str(place / f"disk-{turn}")))
        before = spent(server)
        far.append(told("from S3", "s3://bucket/pictures", str(place / f"far-{turn}")))
        print(f"  the server took {spent(server) - before:.1f} s of processor on the same cores")
        both.append(told("from S3, workspace in S3", "s3://bucket/pictures", f"s3://bucket/workspace-{turn}"))
    for what, seconds in ("S3", far), ("S3, workspace in S3,", both):
        print(f"  {what} to disk: {median(seconds) / median(disk):.2f} of the time, medians of {repeat}")
    before = gets(place)
    told("from S3 again", "s3://bucket/pictures", str(place / "far-0"))
    print(f"  objects read: {gets(place) - before}")


def told(what: str, source: str, workspace: str) -> float:
    """Extract, and say what it took; its seconds."""
    took = command("extract", source, "--workspace", workspace, "--quiet")
    print(f"  {what}: {took}", flush=True)
    return took.seconds


def gets(place: Path) -> int:
    """How many pictures the server has given."""
    return sum("GET /bucket/pictures/" in line for line in (place / "server.log").read_text().splitlines())


def reading(n: int, seed: int, place: Path) -> None:
    """One shard: some of its rows by ranges, beside a copy of the whole."""
    from cache.space import Space
    from cache.storage.remote import copies, mirror
    from cache.workspace import Workspace

    draw = np.random.default_rng(seed)
    space = Space("made-up", "0" * 64, "avg", 224, "squash", "none", "none", dtype="float16")
    key = draw.integers(256, size=(n, 32), dtype=np.uint8)
    rows = draw.standard_normal((n, 1280), np.float32)
    os.environ |= {"COLDFRAME_CACHE": str(place / "cache"), copies.LIMIT: "0"}
    Workspace.locate("s3://bucket/rows").store(space).add(key, rows)

    def seconds(wanted: np.ndarray, limit: str) -> float:
        os.environ[copies.LIMIT] = limit
        mirror._mirrors.clear()
        shutil.rmtree(place / "cache", ignore_errors=True)
        store = Workspace.locate("s3://bucket/rows").store(space)
        store.contains(wanted[:1])
        began = time.perf_counter()
        store.gather(wanted)
        return time.perf_counter() - began

    print(f"rows of one shard of {n:,} x 1,280 float16, {2560 * n / 1e6:.0f} MB; keys are read already")
    for share in SHARES:
        some = key[np.sort(draw.permutation(n)[: max(1, int(n * share))])]
        by_ranges = seconds(some, "0")
        mirror.SHARE, kept = 0.0, mirror.SHARE
        by_copy = seconds(some, "10")
        mirror.SHARE = kept
        print(
            f"  {len(some):>7,} of them: by ranges {by_ranges:.2f} s, by a copy {by_copy:.2f} s", flush=True
        )
