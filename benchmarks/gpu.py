"""What a GPU does, in one run: `python benchmarks/gpu.py FOLDER [--only alone extract agreement]`.

The engine `keras` on what Keras runs on; `KERAS_BACKEND=jax` needs no TensorFlow. Compilation is told apart, and
counted for nobody. It runs without a GPU, too.

alone: pictures a second of networks by themselves, from memory, by precision and size of a batch.
extract: end to end from JPEG files, against reading and decoding alone, and against plain Keras.
agreement: rows from the GPU beside those of the same network on the CPU.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from plain import pictures_as_keras_does

ROOT = Path(__file__).parents[1]
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.insert(0, str(ROOT))
CORES = len(os.sched_getaffinity(0))
SECONDS = 2.0  # of a round of `alone`


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--networks", nargs="+", default=["efficientnet_lite0", "resnet50"])
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 128, 512])
    parser.add_argument(
        "--copies", type=int, default=8, help="of each picture, as other bytes, for `extract`"
    )
    parser.add_argument("--pictures", type=int, default=128, help="for `agreement`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)  # the child process: where its rows go
    options = parser.parse_args()
    if options.rows:
        np.save(options.rows, rows_of(options))
        return
    print(f"{CORES} cores, {device()}")
    for section in options.only:
        print(f"\n== {section}", flush=True)
        SECTIONS[section](options)


def device() -> str:
    import keras

    try:
        return (
            f"Keras {keras.__version__} on {keras.backend.backend()}, {keras.distribution.list_devices()[0]}"
        )
    except RuntimeError as error:
        return str(error)


def backbone(name: str, precision: str) -> Any:
    from extract.backbones.backbone import Backbone

    return Backbone.of(name, weights="pretrained" if "lite" in name else "none", precision=precision)


def warm_engine(name: str, precision: str, batch: int | None) -> tuple[Any, float]:
    """Return an engine that has answered once, and how long it took to get there."""
    from extract.engines.engine import KerasEngine

    began, asked = time.perf_counter(), backbone(name, precision)
    engine = KerasEngine(asked, batch)
    engine.embed(np.zeros((engine.batch_size, asked.input_size, asked.input_size, 3), np.uint8))
    return engine, time.perf_counter() - began


def alone(options: argparse.Namespace) -> None:
    rng = np.random.default_rng(0)
    print(
        "network, precision, pictures in a batch: pictures a second, median of rounds; seconds to the first answer"
    )
    for name in options.networks:
        for precision in PRECISIONS:
            for batch in options.batches:
                engine, first = warm_engine(name, precision, batch)
                size = backbone(name, precision).input_size
                pixels = rng.integers(0, 256, (batch, size, size, 3), np.uint8)
                rates = []
                for _ in range(options.rounds):
                    began, done = time.perf_counter(), 0
                    while time.perf_counter() - began < SECONDS:
                        engine.embed(pixels)
                        done += batch
                    rates.append(done / (time.perf_counter() - began))
                print(f"{name}, {precision}, {batch}: {median(rates):,.0f}; {first:.1f} s", flush=True)


def extract(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        pictures = Path(temporary, "pictures")
        count = copy(options.folder, pictures, options.copies)
        print(f"{count:,} JPEG files, efficientnet_lite0 at 224, pictures a second, all rounds")
        engines = {
            precision: warm_engine("efficientnet_lite0", precision, None)[0] for precision in PRECISIONS
        }
        rates: dict[str, list[float]] = {}
        for number in range(options.rounds):
            for precision, engine in engines.items():
                asked = backbone("efficientnet_lite0", precision)
                for what, runs in (("reading alone", Idle(engine)), ("extract", engine)):
                    workspace = Path(temporary, f"{number} {precision} {what}")
                    seconds = embed(workspace, pictures, asked, runs)
                    rates.setdefault(f"{what}, {precision}", []).append(count / seconds)
        model = engines["float32"]._model
        for _ in range(options.rounds):
            data = pictures_as_keras_does(pictures, 128, CORES)
            began = time.perf_counter()
            model.predict(data, verbose=0)
            rates.setdefault("plain Keras", []).append(count / (time.perf_counter() - began))
        for what, each in rates.items():
            print(f"{what}: {median(each):,.0f}  ({' '.join(f'{rate:,.0f}' for rate in each)})", flush=True)


class Idle:
    """Stands in for an engine, and answers without computing: what is left is reading, decoding and sealing."""

    def __init__(self, engine: Any) -> None:
        self.name, self.device, self.network = engine.name, engine.device, engine.network
        self.batch_size, self.lanes = engine.batch_size, engine.lanes

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        return np.zeros((len(pixels), self.network.dim), np.float32)


def embed(workspace: Path, pictures: Path, asked: Any, engine: Any) -> float:
    """Extract a folder with an engine that runs, and return the seconds from the first file on."""
    from cache.workspace import Workspace
    from extract.embedding.extractor import Extractor
    from extract.embedding.progress import Progress
    from extract.embedding.runner import Outcome
    from extract.settings import Decoding, Options
    from extract.sources.source import open_source

    place = Workspace(workspace)
    manifest = open_source(place, pictures).scan_again(place, pictures.name, print).manifest
    extractor = Extractor(place, asked, Decoding(), Options(), started=engine)
    began = time.perf_counter()
    extractor.embed(manifest, np.arange(len(manifest)), Progress(), Outcome())
    return time.perf_counter() - began


def copy(folder: Path, target: Path, copies: int) -> int:
    """Write each picture several times with a few bytes more after its end, so that each is another file."""
    paths = files(folder)
    for path in paths:
        (target / path.parent.name).mkdir(parents=True, exist_ok=True)
        for number in range(copies):
            place = target / path.parent.name / f"{path.stem}-{number}.jpg"
            place.write_bytes(path.read_bytes() + number.to_bytes(4))
    return copies * len(paths)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/*") if path.suffix.lower() in (".jpg", ".jpeg"))


def agreement(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        rows = {}
        for what in ("gpu", "cpu"):
            command = [sys.executable, __file__, str(options.folder), "--rows", f"{temporary}/{what}.npy"]
            hidden = {} if what == "gpu" else {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
            subprocess.run(
                [*command, "--pictures", str(options.pictures)], env=os.environ | hidden, check=True
            )
            rows[what] = np.load(f"{temporary}/{what}.npy").astype(np.float64)
        (cpu,) = rows["cpu"]
        for precision, gpu in zip(PRECISIONS, rows["gpu"], strict=True):
            cosine = (gpu * cpu).sum(1) / np.linalg.norm(gpu, axis=1) / np.linalg.norm(cpu, axis=1)
            apart = np.abs(gpu - cpu).max() / np.abs(cpu).max()
            found = {"least_cosine": cosine.min(), "largest_difference_of_largest_number": apart}
            print(f"{precision} beside float32 on the CPU, n = {len(gpu)}: {json.dumps(found)}")


def rows_of(options: argparse.Namespace) -> np.ndarray:
    """(precisions, n, D) float32: rows of some pictures, on a CPU in float32 alone, which is what it is good at."""
    from extract.pictures.decoding import decode
    from extract.settings import Decoding

    pictures = files(options.folder)
    pictures = pictures[:: max(1, len(pictures) // options.pictures)][: options.pictures]
    pixels = np.stack([decode(path.read_bytes(), 224, Decoding()) for path in pictures])
    precisions = PRECISIONS if "gpu" in options.rows.name else PRECISIONS[:1]
    return np.stack([_embed_each(precision, pixels) for precision in precisions])


def _embed_each(precision: str, pixels: np.ndarray) -> np.ndarray:
    engine, _ = warm_engine("efficientnet_lite0", precision, 128)
    return np.concatenate([engine.embed(pixels[at : at + 128]) for at in range(0, len(pixels), 128)])


PRECISIONS: Sequence[str] = ("float32", "float16")
SECTIONS = {"alone": alone, "extract": extract, "agreement": agreement}

if __name__ == "__main__":
    main()
