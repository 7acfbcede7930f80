"""Measure the search for the nearest rows, and what the facts of a picture cost beside its decoding.

python benchmarks/neighbours.py rows 3224 2048          # made-up rows: exact
python benchmarks/neighbours.py rows 50000 1280 --index # by the index, with its recall
python benchmarks/neighbours.py facts flowers/          # cost, and blurred pictures told (needs CleanVision)
python benchmarks/neighbours.py parts --workspace .coldframe --space ID  # ways to weigh the parts of a row
"""

import argparse
import io
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).parents[1]))

from cache.workspace import Workspace
from classify.data.neighbours.approximate import approximate
from classify.data.neighbours.cached import NEIGHBOURS
from classify.data.neighbours.search import Neighbours, among
from extract.pictures.decoding import decode_whole, loaded, open_header
from extract.pictures.facts import Facts, facts
from extract.pictures.square import square
from extract.settings import Decoding

SIZE = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tasks = parser.add_subparsers(dest="task", required=True)
    rows = tasks.add_parser("rows")
    rows.add_argument("n", type=int)
    rows.add_argument("columns", type=int)
    rows.add_argument("--index", action="store_true")
    pictures = tasks.add_parser("facts")
    pictures.add_argument("folder", type=Path)
    pictures.add_argument("--pictures", type=int, default=300)
    parts = tasks.add_parser("parts")
    parts.add_argument("--workspace")
    parts.add_argument("--space")
    asked = parser.parse_args()
    if asked.task == "rows":
        search(asked.n, asked.columns, asked.index)
    elif asked.task == "facts":
        files = sorted(asked.folder.rglob("*.jpg"))
        chosen = np.random.default_rng(0).permutation(len(files))[: asked.pictures]
        contents = [files[row].read_bytes() for row in chosen]
        cost(contents)
        sharpness(contents)
    else:
        weigh(Workspace.locate(asked.workspace), asked.space)


def search(n: int, columns: int, index: bool) -> None:
    """Search rows in heaps of 100, as alike as those of photographs of one class."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(max(1, n // 100), columns)).astype(np.float32).repeat(100, axis=0)[:n]
    for start in range(0, n, 4096):
        rows[start : start + 4096] += 2 * rng.normal(size=rows[start : start + 4096].shape).astype(np.float32)
    if index:
        found = timed(
            f"index, {n:,} x {columns:,}", lambda: approximate(rows, NEIGHBOURS, (), np.arange(n), print)
        )
        print(f"recall on a sample {found.recall:.3f}")
    else:
        timed(f"exact, {n:,} x {columns:,}", lambda: among(rows, NEIGHBOURS))


def timed(name: str, work: Callable[[], Neighbours]) -> Neighbours:
    before = peak()
    wall, spent = time.perf_counter(), time.process_time()
    found = work()
    wall, spent = time.perf_counter() - wall, time.process_time() - spent
    print(
        f"{name}: {wall:.1f} s, {spent:.1f} s of processor time, {peak() - before:,.0f} MiB more at the peak"
    )
    return found


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cost(contents: list[bytes]) -> None:
    """Print milliseconds of processor time a picture, the median of the pictures, each the best of 5."""
    decoding, spent = Decoding(), []
    for data in contents:
        whole = best(lambda: decode_whole(data, SIZE, decoding))  # noqa: B023
        opened = open_header(data, SIZE, decoding)
        with loaded(opened, data) as picture:
            pixels = square(*picture, SIZE, *decoding.rule)
            measured = best(lambda: facts(*picture, opened.whole, pixels, decoding.resize))  # noqa: B023
        spent.append((whole, measured))
    whole, measured = np.median(spent, axis=0) * 1000
    print(f"{len(contents)} pictures: facts {measured:.3f} ms of {whole:.2f} ms in all for decoding")


def best(work: Callable[[], object]) -> float:
    took = []
    for _ in range(5):
        began = time.thread_time()
        work()
        took.append(time.thread_time() - began)
    return min(took)


def sharpness(contents: list[bytes]) -> None:
    """Print the area under the ROC curve of sound pictures and the same blurred, ours and CleanVision's."""
    from cleanvision.issue_managers.image_property import BlurrinessProperty
    from sklearn.metrics import roc_auc_score

    blurriness, images = (
        BlurrinessProperty(),
        [Image.open(io.BytesIO(data)).convert("RGB") for data in contents],
    )

    def ours(image: Image.Image) -> float:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90)
        return float(Facts(*decode_whole(file.getvalue(), SIZE, Decoding())[2]).sharpness)

    measures = {"sharpness": ours, "CleanVision": lambda image: blurriness.calculate(image)["blurriness"]}
    for name, measure in measures.items():
        sound, areas = [measure(image) for image in images], []
        for radius in (1, 1.5, 2, 3, 5, 12):
            blurred = [measure(image.filter(ImageFilter.GaussianBlur(radius))) for image in images]
            truth = [1] * len(sound) + [0] * len(blurred)
            areas.append(f"{radius} px {roc_auc_score(truth, sound + blurred):.3f}")
        print(f"{name}, AUROC against blurred by {', '.join(areas)}")


def weigh(workspace: Workspace, space: str | None) -> None:
    """Print how often neighbours have the row's label, for several ways to make one direction of the parts."""
    data = workspace.load(space=space)
    rows, label = data.embedding, data.manifest.label
    spans = [(block.start, block.stop) for block in data.blocks]
    equal = rows - rows.mean(axis=0)
    for start, stop in spans:
        equal[:, start:stop] /= np.linalg.norm(equal[:, start:stop], axis=1, keepdims=True)
    ways = {
        "parts by their width": among(rows, 15, spans),
        "parts equal": among(equal, 15),
        "one part": among(rows, 15),
        "the plain embedding": among(np.ascontiguousarray(rows[:, data.top]), 15),
    }
    for name, found in ways.items():
        of = label[found.index]
        vote = np.mean([np.bincount(each).argmax() for each in of] == label)
        print(
            f"{name}: {np.mean(of == label[:, None]):.3f} of 15 have the label, the vote is right for {vote:.3f}"
        )


if __name__ == "__main__":
    main()
