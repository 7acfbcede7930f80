"""Extraction against the usual ways, in one run: `python benchmarks/extract.py FOLDER [--only cold warm ...]`.

Each contender runs in a process of its own, in turns, several rounds; the table gives the median, and its ratio
to that of its engine alone and of Keras in the same run. Imports and model loading are not counted for anybody,
reading the files is. Needs the extra `bench` for the peers; one that is not installed is left out.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
os.environ["PYTHONPATH"] = str(ROOT)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.insert(0, str(ROOT))
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        name, folder = options.worker
        print("\n" + json.dumps(WORKERS[name](options.folder, Path(folder))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        for section in options.only:
            print(f"\n== {section}", flush=True)
            SECTIONS[section](options, Path(temporary))


# --- cold: end to end, against peers -------------------------------------------------------------------------


def cold(options: argparse.Namespace, temporary: Path) -> None:
    pictures = subset(options.folder, temporary / "cold", options.pictures)
    contenders = [*OURS, *BY_PILLOW, "keras", *prepare_peers(temporary)]
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name in contenders:
            rates[name].append(worker(name, pictures, temporary)["rate"])
    median = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{options.pictures} pictures, {options.rounds} rounds, efficientnet_lite0 at 224, images/s")
    print(f"{'':36}{'median':>8}  {'all rounds':30}  of its engine  of keras")
    for name, values in rates.items():
        each = " ".join(f"{value:.1f}" for value in values)
        alone = median.get(f"engine of {BY_PILLOW.get(name, name)}")
        share = f"{median[name] / alone:.2f}" if alone else ""
        print(
            f"{name:36}{median[name]:8.1f}  {each:30}  {share:>13}  {median[name] / median['keras']:6.2f} x"
        )
    for name in ("three networks", "three networks int8"):
        print(
            f"{name}: {median[f'engine of {name}'] / median[name]:.2f} x what their engines take one by one"
        )
    print("where a picture's time goes, one thread, ms:", json.dumps(worker("stages", pictures, temporary)))


# What is extracted at once: names of networks, and their precision. The three have inputs of 224, 240 and 260 pixels.
THREE = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
OURS_ARE = {
    "coldframe": (THREE[:1], "float32"),
    "coldframe int8": (THREE[:1], "int8"),
    "three networks": (THREE, "float32"),
    "three networks int8": (THREE, "int8"),
}
OURS = [name for ours in OURS_ARE for name in (ours, f"engine of {ours}")]
BY_PILLOW = {f"{ours}, pillow": ours for ours in ("coldframe", "coldframe int8")}  # `--resizer pillow`


def backbones(ours: str) -> list:
    from extract.backbones.backbone import Backbone

    names, precision = OURS_ARE[ours]
    return [Backbone.of(name, precision=precision) for name in names]


def start(backbone):  # type: ignore[no-untyped-def]
    from extract.engines.choice import learn_network
    from extract.engines.engine import LiteRTEngine

    return LiteRTEngine(learn_network(backbone, "litert")[0])


def run_coldframe(ours: str, pictures: Path, temporary: Path, resizer: str = "fast") -> dict:
    """All of `extract`, but for what int8 does once for each data set: a sample is compared with float32."""
    from cache.workspace import Workspace
    from extract.commands import extract as command
    from extract.settings import Decoding, Options

    named = backbones(ours)
    for backbone in named:
        start(backbone)  # as the others, whose models are loaded before
    command.settled = lambda workspace, backbone, *_: backbone
    workspace = Path(tempfile.mkdtemp(dir=temporary))
    began = time.perf_counter()
    summaries = command.extract_all(
        Workspace(workspace), pictures, named, Decoding(resizer=resizer), Options()
    )
    seconds = time.perf_counter() - began
    shutil.rmtree(workspace)
    return {"rate": summaries[0].files / seconds}


def run_engine(ours: str, pictures: Path, temporary: Path) -> dict:
    """The engines, one after the other, on pictures decoded beforehand, all lanes busy: the most there is to reach."""
    from concurrent.futures import ThreadPoolExecutor

    from extract.pictures.decoding import decode
    from extract.settings import Decoding

    seconds = 0.0
    for backbone in backbones(ours):
        engine = start(backbone)
        pixels = [
            decode(path.read_bytes(), backbone.input_size, Decoding())[None] for path in files(pictures)
        ]
        with ThreadPoolExecutor(engine.lanes) as pool:
            began = time.perf_counter()
            list(pool.map(engine.embed, pixels))
            seconds += time.perf_counter() - began
    return {"rate": len(files(pictures)) / seconds}


def run_keras(pictures: Path, temporary: Path) -> dict:
    """The tutorials' way: image_dataset_from_directory, predict, save."""
    import keras

    from extract.backbones.backbone import Backbone
    from extract.backbones.network import build_embedder

    model = build_embedder(Backbone.of())
    ended: list[float] = []
    began = time.perf_counter()
    data = keras.utils.image_dataset_from_directory(
        pictures, image_size=(224, 224), batch_size=BATCH, shuffle=False, verbose=False
    )
    end = keras.callbacks.LambdaCallback(on_predict_end=lambda logs: ended.append(time.perf_counter()))
    rows = model.predict(data, verbose=0, callbacks=[end])
    # Where predict waits for tf.data, it comes back long after its end: see benchmarks/finetune.py.
    saving = time.perf_counter()
    np.save(temporary / "rows.npy", rows)
    return {"rate": len(rows) / (ended[0] - began + time.perf_counter() - saving)}


def run_onnx(pictures: Path, temporary: Path) -> dict:
    import onnxruntime

    session = onnxruntime.InferenceSession(temporary / "model.onnx", providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return plain_loop(pictures, temporary, lambda pixels: session.run(None, {name: pixels})[0])


def run_openvino(pictures: Path, temporary: Path) -> dict:
    import openvino

    model = openvino.Core().compile_model(temporary / "model.xml", "CPU")
    return plain_loop(pictures, temporary, lambda pixels: model(pixels)[0])


def plain_loop(pictures: Path, temporary: Path, embed: Callable[[np.ndarray], np.ndarray]) -> dict:
    """What one writes in ten minutes: decode a batch, run it, collect, save."""
    from PIL import Image

    paths, rows = files(pictures), []
    began = time.perf_counter()
    for start in range(0, len(paths), BATCH):
        batch = []
        for path in paths[start : start + BATCH]:
            image = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
            batch.append(np.asarray(image))
        rows.append(embed(np.stack(batch)))
    np.save(temporary / "rows.npy", np.concatenate(rows))
    return {"rate": len(paths) / (time.perf_counter() - began)}


def prepare_peers(temporary: Path) -> list[str]:
    """Convert the same network for each peer that is installed, in a process of its own."""
    code = f"""
import keras
from extract.backbones.backbone import Backbone
from extract.backbones.network import build_embedder
model = build_embedder(Backbone.of())
signature = [keras.InputSpec(shape=(None, 224, 224, 3), dtype="uint8")]
try:
    model.export({str(temporary / "model.onnx")!r}, format="onnx", verbose=False, input_signature=signature)
except ImportError as error:
    print(error)
try:
    import openvino
    model.export({str(temporary / "saved")!r}, verbose=False)
    openvino.save_model(openvino.convert_model({str(temporary / "saved")!r}), {str(temporary / "model.xml")!r},
                        compress_to_fp16=False)
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        print(done.stderr.strip().splitlines()[-1])
    found = {"onnxruntime": temporary / "model.onnx", "openvino": temporary / "model.xml"}
    return [name for name, path in found.items() if path.exists()]


def run_stages(pictures: Path, temporary: Path) -> dict:
    import hashlib

    from extract.engines.choice import learn_network
    from extract.engines.engine import LiteRTEngine
    from extract.pictures.decoding import loaded, open_header
    from extract.pictures.square import square
    from extract.pictures.thumbnail import thumbnail
    from extract.settings import RESIZERS, Decoding

    engines = {}
    for ours in ("coldframe", "coldframe int8"):
        (backbone,) = backbones(ours)
        engines[f"embed, {backbone.precision}"] = LiteRTEngine(learn_network(backbone, "litert")[0], lanes=1)
    paths, spent = files(pictures)[:200], dict[str, float]()
    for path in paths:
        marks = [("", time.perf_counter())]

        def mark(stage: str, marks: list = marks) -> None:
            marks.append((stage, time.perf_counter()))

        data = path.read_bytes()
        mark("read")
        hashlib.sha256(data).digest()
        mark("hash")
        with loaded(open_header(data, 224, Decoding()), data) as picture:
            mark("decode")
            for resizer in RESIZERS:
                pixels = square(*picture, 224, "crop", resizer)
                mark(f"resize, {resizer}")
                thumbnail(*picture, resizer)
                mark(f"thumbnail, {resizer}")
        for name, engine in engines.items():
            engine.embed(pixels[None])
            mark(name)
        for (_, before), (stage, after) in pairwise(marks):
            spent[stage] = spent.get(stage, 0.0) + after - before
    return {stage: round(seconds / len(paths) * 1e3, 2) for stage, seconds in spent.items()}


# --- warm, memory, scan: whole processes ---------------------------------------------------------------------


def warm(options: argparse.Namespace, temporary: Path) -> None:
    pictures = options.folder.resolve()
    command = cli("extract", pictures, "--json", "--workspace", temporary / "warm")
    first = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    print(f"cold: {first['files']} files, {first['embedded']} embedded, {first['seconds']} s")
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        summary = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        seconds.append(time.perf_counter() - began)
        assert summary["cached"] + summary["rejected"] == summary["files"]
    each = " ".join(f"{value:.2f}" for value in seconds)
    print(f"warm, whole process: median {statistics.median(seconds):.2f} s ({each})")


def memory(options: argparse.Namespace, temporary: Path) -> None:
    for count in (500, 3000):
        pictures = subset(options.folder, temporary / f"memory{count}", count)
        for ours, (names, precision) in OURS_ARE.items():
            command = cli("extract", pictures, "--backbone", ",".join(names), "--precision", precision)
            command += ["--workspace", str(temporary / f"{count} {ours}")]
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(child.pid, 0)
            assert status == 0
            print(
                f"{ours}, {count} pictures: peak resident memory {usage.ru_maxrss / 1024:.0f} MiB", flush=True
            )


def photographs(options: argparse.Namespace, temporary: Path) -> None:
    """Pictures of 12 megapixels, as phones take them: what is there, enlarged to 4000 x 3000."""
    from PIL import Image

    folder = temporary / "photographs"
    for path in files(subset(options.folder, temporary / "small", 60)):
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("RGB").resize((4000, 3000)).save(target, "JPEG", quality=90)
    for name in OURS:
        rates = [worker(name, folder, temporary)["rate"] for _ in range(options.rounds)]
        print(f"{name:36}{statistics.median(rates):8.1f} images/s", flush=True)


def scan(options: argparse.Namespace, temporary: Path) -> None:
    """100,000 files of 1 KB: first scan, hash and manifest; then found unchanged. Whole processes."""
    folder, rng = temporary / "scan", np.random.default_rng(0)
    for label in range(100):
        (folder / f"{label:02d}").mkdir(parents=True)
        content = rng.integers(0, 256, (1000, 1024), dtype=np.uint8)
        for number in range(1000):
            (folder / f"{label:02d}" / f"{number}.jpg").write_bytes(content[number].tobytes())
    command = cli("manifest", folder, "--json", "--workspace", temporary / "scanned")
    for what in ("scan, hash, write the manifest", "found unchanged"):
        began = time.perf_counter()
        facts = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        print(f"{what}: {facts['files']:,} files in {time.perf_counter() - began:.2f} s, whole process")


# --- shared --------------------------------------------------------------------------------------------------


def cli(*words: object) -> list[str]:
    return [sys.executable, str(ROOT / "cli.py"), *map(str, words)]


def worker(name: str, pictures: Path, temporary: Path) -> dict:
    command = [sys.executable, __file__, str(pictures), "--worker", name, str(temporary)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def files(pictures: Path) -> list[Path]:
    return sorted(pictures.glob("*/*"))


def subset(folder: Path, into: Path, count: int) -> Path:
    """Link `count` pictures, evenly spread over the folder."""
    paths = files(folder.resolve())
    for path in (paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, count).astype(int))):
        target = into / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    return into


SECTIONS = {"cold": cold, "warm": warm, "memory": memory, "photographs": photographs, "scan": scan}
WORKERS = {
    **{ours: partial(run_coldframe, ours) for ours in OURS_ARE},
    **{name: partial(run_coldframe, ours, resizer="pillow") for name, ours in BY_PILLOW.items()},
    **{f"engine of {ours}": partial(run_engine, ours) for ours in OURS_ARE},
    "keras": run_keras,
    "onnxruntime": run_onnx,
    "openvino": run_openvino,
    "stages": run_stages,
}

if __name__ == "__main__":
    main()
