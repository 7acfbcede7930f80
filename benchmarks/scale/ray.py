"""extract on a Ray of this machine beside plain extract, and what a killed node costs.

Each run is a process of its own, plain and Ray by turns; times are those of the pictures, from the moment when the
first worker (or the engine) is there: Ray's own start is told beside them. With `--data` the same work is done by Ray
Data, from a data set of paths through a function that decodes to actors that embed and seal.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from scale.measured import program

FLOWERS = Path(__file__).parents[3] / "shared" / "flowers"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", type=Path, default=FLOWERS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--data", action="store_true", help="also by Ray Data")
    parser.add_argument("--kill", action="store_true", help="three raylets, one of them killed in the middle")
    parser.add_argument("--one", choices=RUNS, help=argparse.SUPPRESS)


def run(asked: argparse.Namespace) -> None:
    if asked.one:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(RUNS[asked.one](asked, Path(folder))))
        return
    names = ["killed"] if asked.kill else ["plain", "ray", *(["data"] if asked.data else [])]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(asked.repeat):
        for name, each in found.items():
            words = ["--one", name, "--source", str(asked.source), "--workers", str(asked.workers)]
            each.append(json.loads(program(["benchmarks/scale.py", "ray", *words]).output.splitlines()[-1]))
            print(name, each[-1], flush=True)
    seconds = {name: median(run["seconds"] for run in each) for name, each in found.items()}
    for name in names[1:]:  # of `killed` it is the rows that tell
        print(f"{name}: {seconds[name] / seconds['plain']:.3f} x the time of plain extract, start aside")


def _plain(asked: argparse.Namespace, folder: Path) -> dict[str, float]:
    return _extract(asked, folder)


def _ray(asked: argparse.Namespace, folder: Path) -> dict[str, float]:
    from extract.embedding.cluster.driver import embed_on_ray
    from extract.settings import Ray

    cluster = Ray((), asked.workers)
    return _extract(asked, folder, embed=lambda *words: embed_on_ray(*words, cluster=cluster))


def _extract(
    asked: argparse.Namespace, folder: Path, advance: Any = None, **options: Any
) -> dict[str, float]:
    from cache.workspace import Workspace
    from extract.backbones.backbone import Backbone
    from extract.commands.extract import extract_all
    from extract.embedding.progress import Progress
    from extract.settings import Decoding, Options

    marks = []
    progress = Progress(
        start=lambda files: marks.append(time.monotonic()), advance=advance or (lambda done, rejected: None)
    )
    workspace, began = Workspace(folder / "workspace"), time.monotonic()
    backbones = [Backbone.of("efficientnet_lite0")]
    [done] = extract_all(
        workspace, asked.source, backbones, Decoding(), Options(), progress=progress, **options
    )
    seconds = time.monotonic() - marks[0]
    [store] = workspace.spaces()
    return {
        "files": done.files,
        "embedded": done.embedded,
        "cached": done.cached,
        "rejected": done.rejected,
        "rows": len(store),
        "shards": len(store.paths()),
        "before": round(marks[0] - began, 2),
        "seconds": round(seconds, 2),
        "a_second": round(done.embedded / seconds, 1),
    }


def _killed(asked: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Kill one of three nodes once a third of the pictures is read; the rows that are there twice are the cost."""
    from extract.embedding.cluster.driver import embed_on_ray
    from extract.settings import Ray
    from tests.raylets import Raylets

    raylets = Raylets()
    raylets.restore()
    third, read, killed = sum(1 for _ in asked.source.glob("*/*")) / 3, 0, False

    def advance(done: int, rejected: int) -> None:
        nonlocal read, killed
        read += done
        if read > third and not killed:
            killed = True
            raylets.kill(next(iter(raylets.cluster.worker_nodes)))

    embed = lambda *words: embed_on_ray(*words, cluster=Ray(()))  # noqa: E731
    found = _extract(asked, folder, advance, embed=embed)
    again = _extract(asked, folder)
    found |= {"killed": killed, "again_embedded": again["embedded"], "again_cached": again["cached"]}
    raylets.close()
    return found


def _data(asked: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Rows only: no thumbnails are kept, no rejects, and what an actor had not sealed at the end is lost."""
    import numpy as np

    from cache.workspace import Workspace
    from extract.backbones.backbone import Backbone
    from extract.embedding.cluster.connection import import_ray
    from extract.embedding.extractor import Extractor
    from extract.embedding.runner import SEAL_SECONDS
    from extract.pictures.files import opened
    from extract.pictures.look import Look, look_at
    from extract.settings import Decoding, Options

    began = time.time()
    paths = [str(path) for path in sorted(asked.source.glob("*/*"))]
    workspace, backbone = Workspace(folder / "workspace"), Backbone.of("efficientnet_lite0")
    Extractor(workspace, backbone, Decoding(), Options())
    ray = import_ray()
    ray.init(num_cpus=asked.workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    import ray.data as data

    def decode(batch: dict[str, Any]) -> dict[str, Any]:
        look = Look(backbone.input_size, Decoding(), None, thumbnail=True)
        keys, pixels = [], []
        for path in batch["path"]:
            with opened(path) as contents:
                keys.append(np.frombuffer(contents.key, np.uint8))
                pixels.append(look_at(contents.data, contents.key, [look])[look].pixels)
        return {"key": np.stack(keys), "pixels": np.stack(pixels)}

    class Embed:
        def __init__(self) -> None:
            import os

            os.environ["LOKY_MAX_CPU_COUNT"] = "1"
            self._extractor = Extractor(workspace, backbone, Decoding(), Options())
            self._engine, self._held = self._extractor.start(), []
            self._sealed = time.monotonic()

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            rows = np.concatenate([self._engine.embed(pixels[None]) for pixels in batch["pixels"]])
            self._held.append((batch["key"], rows))
            if time.monotonic() - self._sealed > SEAL_SECONDS:
                self._extractor.store.add(*map(np.concatenate, zip(*self._held, strict=True)))
                self._held, self._sealed = [], time.monotonic()
            return {"done": np.array([len(rows)]), "time": np.array([time.time()])}

    half, pool = (
        {"num_cpus": 0.5},
        data.ActorPoolStrategy(size=asked.workers),
    )  # half for reading, half for actors
    rows = data.from_items([{"path": path} for path in paths], override_num_blocks=len(paths) // 64)
    done = rows.map_batches(decode, batch_size=64, **half).map_batches(
        Embed, batch_size=64, compute=pool, **half
    )
    told = [(int(each["done"]), float(each["time"])) for each in done.iter_rows()]
    first, end = min(when for _, when in told), time.time()
    count = sum(number for number, _ in told) - told[0][0]
    [store] = workspace.spaces()
    return {
        "files": len(paths),
        "rows": len(store),
        "before": round(first - began, 2),
        "seconds": round((end - first) * len(paths) / count, 2),
        "a_second": round(count / (end - first), 1),
    }


RUNS = {"plain": _plain, "ray": _ray, "data": _data, "killed": _killed}
