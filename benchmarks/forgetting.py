"""Whether fine-tuning begins by forgetting: validation accuracy after each epoch, beside that of the head.

`python benchmarks/forgetting.py [FOLDER] [--model logreg] [--results FILE] [--png FILE]`

Of each seed a head and two fine-tunes: at the optimizer's own learning rate, and at the one that finetune chooses.
Without a folder the pictures are the demo's digits, without views and for four epochs.
"""

import argparse
import csv
import json
import sys
import tempfile
from pathlib import Path

from finetune import coldframe

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
USUAL = 3e-4  # of adamw
COLOURS = ("#1f5fa8", "#d1681d", "#1c7c3c")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--model", default="logreg,lda", help="heads to choose from")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workspace", type=Path, help="kept, with what is cached; default: a temporary one")
    parser.add_argument(
        "--results", type=Path, help="a line is added for each training, and the figure is of all"
    )
    parser.add_argument("--png", type=Path, help="figure to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        results = options.results or Path(temporary, "results.jsonl")
        measure(options, options.workspace or Path(temporary, ".coldframe"), results)
        if options.png:
            lines = results.read_text().splitlines()
            options.png.write_bytes(drawn(sorted(map(json.loads, lines), key=lambda row: row["seed"])))


def measure(options: argparse.Namespace, workspace: Path, results: Path) -> None:
    """Train twice from the head of each seed, and print what came of it."""
    from classify.commands.demo import write_digits

    folder = options.folder or workspace.parent / "digits"
    if options.folder is None:
        write_digits(folder)
    coldframe(workspace, "extract", str(folder))
    few = [] if options.folder else ["--epochs", "4", "--views", "0"]
    for seed in map(str, options.seeds):
        head = coldframe(workspace, "fit-head", "--no-curve", "--model", options.model, "--seed", seed)
        for when, rate in (("before", ["--lr", str(USUAL)]), ("after", [])):
            words = ("--run", head["run"], "--seed", seed, "--patience", "10", *few, *rate)
            made = coldframe(workspace, "finetune", *words)
            accuracy = accuracies(Path(made["run"]))
            row = {
                "seed": int(seed),
                "when": when,
                "learning_rate": made["learning_rate"],
                "accuracy": accuracy,
            }
            with results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            changes = " ".join(f"{100 * (each - accuracy[0]):+.1f}" for each in accuracy[1:])
            print(
                f"seed {seed}, {when}, learning rate {row['learning_rate']:g}: head {accuracy[0]:.1%} "
                f"(n = {made['val_n']}), epochs {changes} points; kept {made['val_accuracy']:.1%}",
                flush=True,
            )


def accuracies(run: Path) -> list[float]:
    """On the validating pictures: of the head, and after each epoch."""
    with (run / "history.csv").open() as file:
        return [float(row["val_accuracy"]) for row in csv.DictReader(file)]


def drawn(found: list[dict]) -> bytes:
    """Draw the curves, before and after side by side, and return the PNG file's bytes."""
    from classify.report.figures import new_figure, png

    figure = new_figure(9, 3.6)
    for axes, when in zip(figure.subplots(1, 2, sharey=True), ("before", "after"), strict=True):
        axes.axhspan(-1, 0, color="0.9", zorder=0)
        axes.axhline(0, color="0.35", linewidth=1.2, linestyle=(0, (5, 3)))
        for row, colour in zip([row for row in found if row["when"] == when], COLOURS, strict=False):
            change = [100 * (each - row["accuracy"][0]) for each in row["accuracy"]]
            label = f"seed {row['seed']}: head {row['accuracy'][0]:.1%}, rate {row['learning_rate']:g}"
            axes.plot(change, color=colour, marker="o", markersize=4, label=label)
        axes.set_title(f"{when}", loc="left")
        axes.set_xlabel("epoch (0: the head)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.axes[0].set_ylabel("points of validation accuracy\nabove the head")
    return png(figure, dpi=90)


if __name__ == "__main__":
    main()
