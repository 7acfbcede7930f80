"""The demonstration: the public commands, one after the other, on real pictures that scikit-learn ships."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.options import DemoOptions
from classify.runs.folder import best_run
from classify.runs.predictions import read_pictures

QUICK = 300  # digits
EPOCHS = 4
SHOWN = 10  # held-out pictures to predict

ABOUT_DIGITS = """\
The pictures: {count} handwritten digits of 8 x 8 pixels (scikit-learn's copy of the UCI set), in {folder}.
They are as far as can be from the photographs that the backbone was trained on: with all 1,797 of them expect
about 97 %, with fewer less. On photographs of things the same commands do better than digits suggest."""

ABOUT_FINETUNE = """
Second act: the top of the network itself is trained, starting from a linear head on its plain embedding."""
ABOUT_VIEWS = " No augmented views: a\nmirrored digit is another sign."


def run_demo(command: Callable[..., int], out: Path, data: str | None, quick: bool) -> None:
    """Run extract, fit-head, predict and finetune as a person would, and say what happened.

    Parameters
    ----------
    command : callable
        Runs one command line, given as words, and returns its exit code.
    out : Path
        Folder for pictures, cache and runs.
    data : str or None
        Folder of class folders; None writes the digits.
    quick : bool
        Only a few hundred digits, and no fine-tuning.

    Raises
    ------
    UserError
        If one of the commands fails.
    """
    began = time.monotonic()
    folder = Path(data) if data else out / ("digits-quick" if quick else "digits")
    if not data:
        count = write_digits(folder, QUICK if quick else None)
        print(ABOUT_DIGITS.format(count=f"{count:,}", folder=folder), flush=True)
    workspace = Workspace.locate(out / ".coldframe")

    def run(*words: str) -> None:
        words = (*words, "--workspace", str(workspace.root))
        print(f"\n$ coldframe {' '.join(words)}", flush=True)
        sys.stdout.flush()
        if command(*words) != 0:
            raise UserError(f"Expected `{words[0]}` to succeed; it failed, for the reason above.")

    run("extract", str(folder))
    run("fit-head", "--model", "logreg,svm-linear" if quick else "logreg,lda,svm")
    held_out = _held_out(best_run(workspace), folder)
    print(f"\n{len(held_out)} of the pictures that no head was trained on, and their true names:")
    for path, label in held_out:
        print(f"  {label}: {path}")
    run("predict", "--top", "1", *(str(path) for path, _ in held_out))
    answers = read_pictures(max(workspace.runs.glob("*-predict")) / "predictions.csv")
    right = sum(answer == label for answer, (_, label) in zip(answers["label"], held_out, strict=True))
    print(
        f"\n{right} of {len(held_out)} right (ten are too few for a figure: the leaderboard above has the figures)."
    )
    if not quick:
        print(ABOUT_FINETUNE if data else ABOUT_FINETUNE + ABOUT_VIEWS, flush=True)
        run("finetune", "--epochs", str(EPOCHS), *([] if data else ["--views", "0"]))
    print(
        f"\nDone in {time.monotonic() - began:.0f} s. The cache is in {workspace.root}; the models, figures and\n"
        f"predictions are in {workspace.runs}. Run it again: nothing is embedded twice."
    )


def write_digits(folder: Path, count: int | None = None) -> int:
    """Write scikit-learn's handwritten digits as grey PNG files in one folder a class; returns how many."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)[:count]
    for number, (picture, label) in enumerate(zip(pixels, digits.target, strict=False)):
        path = folder / str(label) / f"{number:04d}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    return len(pixels)


def _held_out(run: Path, folder: Path) -> list[tuple[Path, str]]:
    """Pick pictures of the test part, spread over the classes, from a run's predictions.csv."""
    rows = read_pictures(run / "predictions.csv").sort_values(["label", "path"])
    chosen = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, SHOWN).astype(int))]
    return [(folder / path, label) for path, label in zip(chosen["path"], chosen["label"], strict=True)]


def run(options: DemoOptions, say: Callable[[str], None], command: Callable[..., int]) -> None:
    """Answer the command line; the commands have told all there is."""
    run_demo(command, Path(options.out), options.data, options.quick)
