"""fit-head on made-up rows: time and peak memory of the whole process."""

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from scale.made import workspace
from scale.measured import command


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=1_280)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", nargs="+", default=["ridge", "logreg"])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "coldframe-scale")
    parser.add_argument("words", nargs="*", help="behind --: further options of fit-head")


def run(asked: argparse.Namespace) -> None:
    rows = asked.folder, asked.rows, asked.columns, asked.classes, asked.seed
    with ProcessPoolExecutor(
        1, get_context("spawn")
    ) as pool:  # what is measured begins with the memory of this one
        pool.submit(workspace, *rows).result()
    place = workspace(*rows)
    for model in asked.models:
        words = ["--model", model, "--no-curve", "--json", "--workspace", str(place.root), *asked.words]
        found = command("fit-head", *words)
        [head] = json.loads(found.output)["heads"]
        print(
            f"{model}: {found}; cross-validated {head['cv_accuracy']:.4f}, tested {head['test_accuracy']:.4f}, "
            f"{head['params']}",
            flush=True,
        )
