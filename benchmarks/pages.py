"""Make report.html of a run on photographs, and of one that is said to have tested 20,000: time, size, and how soon a
browser shows it.

    python benchmarks/pages.py flowers/

Times are medians of `--rounds`, of the process (all its threads) and by the clock; the browser is Chromium without
a window.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from cache.workspace import Workspace
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.pages import pictures
from classify.pages.page import FILE, write_page
from classify.report.text import csv_bytes, csv_text
from classify.runs.folder import write_json
from classify.runs.predictions import of_tables, read_pictures
from classify.runs.record import read_record
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.embedding.progress import bar
from extract.settings import Decoding, Options

MANY = 20_000  # test pictures, of a data set of 100,000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workspace", type=Path, help="where the pictures are extracted already")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(options.workspace or Path(scratch) / "w")
        if options.workspace is None:
            extract(workspace, options.folder, Backbone.of(), Decoding(), Options(), progress=bar(print))
        began = time.process_time(), time.perf_counter()
        run = fit_heads(workspace, FitOptions(models=("logreg",))).run
        cpu, wall = time.process_time() - began[0], time.perf_counter() - began[1]
        print(f"fit-head with its learning curve: {cpu:.2f} s of processes, {wall:.2f} s by the clock")
        measure("report.html", workspace, run, options.rounds)
        pictures.of_files, read = lambda *_: {}, pictures.of_files
        measure("without thumbnails", workspace, run, options.rounds)
        pictures.of_files = read
        measure(f"{MANY:,} test pictures", workspace, many(workspace, run), options.rounds)


def many(workspace: Workspace, run: Path) -> Path:
    """The same run, as if it had tested its pictures again and again."""
    copy = workspace.new_run("fit-head")
    shutil.copytree(run, copy, dirs_exist_ok=True)
    answers = read_pictures(copy / "predictions.csv")
    repeated = pd.concat([answers] * (1 + MANY // len(answers)))[:MANY]
    (copy / "predictions.csv").write_bytes(csv_bytes(csv_text(repeated)))
    write_json(copy / "run.json", {**read_record(copy), **of_tables(copy)})
    return copy


def measure(what: str, workspace: Workspace, run: Path, rounds: int) -> None:
    """Print what a page costs."""
    times = []
    for _ in range(rounds):
        began = time.process_time(), time.perf_counter()
        write_page(workspace, run)
        times.append((time.process_time() - began[0], time.perf_counter() - began[1]))
    cpu, wall = np.median(times, axis=0)
    page = run / FILE
    shown = page.read_text("utf-8").count("background-image:url(data:")
    print(
        f"{what}: {cpu:.2f} s of the process, {wall:.2f} s by the clock, {page.stat().st_size / 1e6:.2f} MB with "
        f"{shown} thumbnails, {loaded(page, rounds)}"
    )


def loaded(page: Path, rounds: int) -> str:
    """How soon Chromium has the page."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return "no Chromium to open it"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened, found = browser.new_page(), []
        for _ in range(rounds + 1):
            opened.goto(page.as_uri())
            found.append(
                opened.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
            )
        browser.close()
    return f"DOMContentLoaded after {np.median(found[1:]):.0f} ms, {found[0]:.0f} ms the first time"


if __name__ == "__main__":
    main()
