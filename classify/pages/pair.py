"""Two runs side by side, on the pictures that both were tested on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cache.errors import UserError
from cache.storage.files import write_file
from cache.text import counted
from cache.workspace import Workspace
from classify.metrics.comparison import Comparison, compare
from classify.metrics.intervals import wilson
from classify.pages.page import day, facts_of
from classify.pages.pictures import NAMED, Shown, Thumbnails
from classify.pages.run import Run, read_run
from classify.report.glossary import words_of
from classify.report.html.environment import render

if TYPE_CHECKING:
    import pandas as pd

EACH = 24  # pictures that one of them alone gets right
WORDS = "95 % interval, recall, test part"


@dataclass(frozen=True)
class Side:
    """One of two runs: its figures on the n shared pictures."""

    run: Run
    name: str
    accuracy: float
    low: float
    high: float
    alone: list[
        Shown
    ]  # pictures that it alone gets right, where the other one is surest of its mistake first

    @property
    def head(self) -> str:
        """What answers."""
        return self.run.models[0].name


@dataclass(frozen=True)
class Class:
    """The recall of a class with one and the other run, of n pictures."""

    name: str
    n: int
    recall: tuple[float, float]


@dataclass(frozen=True)
class Pair:
    """Two runs on the pictures that both were tested on."""

    sides: tuple[Side, Side]
    comparison: Comparison
    both_right: int
    both_wrong: int
    classes: list[Class]  # the largest differences first
    notes: list[str]


def write_pair(workspace: Workspace, one: Path, two: Path) -> tuple[Path, Comparison]:
    """Write a page about two runs into the folder of the first; returns the file and the paired test.

    Raises
    ------
    UserError
        When one is no run with answers to labelled pictures, or no picture was tested by both.
    """
    runs = read_run(one), read_run(two)
    pair = side_by_side(workspace, *runs)
    wanted = [each.path for side in pair.sides for each in side.alone]
    content = render(
        "pair.html.j2",
        pair=pair,
        thumbnails=Thumbnails.of(runs[0], workspace, wanted),
        facts=[facts_of(run) for run in runs],
        written=[day(run) for run in runs],
        words=words_of(WORDS),
        floor=max(0.0, np.floor(10 * min(side.low for side in pair.sides) - 0.5) / 10),
        named=NAMED,
    )
    file = one / f"against-{two.resolve().name}.html"
    write_file(file, content.encode("utf-8"))
    return file, pair.comparison


def side_by_side(workspace: Workspace, one: Run, two: Run) -> Pair:
    """Compare the answers of two runs to the pictures that both were tested on; UserError where there is none."""
    import pandas as pd

    tables = [_by_picture(run, workspace) for run in (one, two)]
    both = pd.merge(*tables, on="picture", suffixes=("_1", "_2"))
    same = both["label_1"] == both["label_2"]
    other, both = int((~same).sum()), both[same]
    if not len(both):
        raise UserError(
            f"Expected two runs that were tested on the same pictures with the same labels, received {one.folder.name} "
            f"and {two.folder.name}, which share none. Name two runs on one data set."
        )
    truth, first, second = (both[name].to_numpy(str) for name in ("label_1", "predicted_1", "predicted_2"))
    names = [f"{run.models[0].name} of {run.folder.resolve().name}" for run in (one, two)]
    right = first == truth, second == truth
    notes = [
        f"{run.folder.name} was tested on {counted(len(run.answers), 'picture')}, of which {len(both):,} count here: "
        "the ones that both were tested on"
        for run in (one, two)
        if len(run.answers) > len(both)
    ]
    if other:
        notes.append(f"{counted(other, 'picture')} left out: the label is another one in the other run")
    sides = []
    for run, name, own, others, wrong in ((one, names[0], *right, "2"), (two, names[1], *right[::-1], "1")):
        low, high = wilson(own.sum(), len(both))
        alone = both[own & ~others].sort_values([f"probability_{wrong}", "picture"], ascending=[False, True])
        columns = (
            alone[column] for column in ("path_1", "label_1", f"predicted_{wrong}", f"probability_{wrong}")
        )
        pictures = [Shown(*row) for row in zip(*columns, strict=True)][:EACH]
        sides.append(Side(run, name, float(own.mean()), float(low), float(high), pictures))
    return Pair(
        sides=(sides[0], sides[1]),
        comparison=compare(names[0], names[1], truth, first, second),
        both_right=int((right[0] & right[1]).sum()),
        both_wrong=int((~right[0] & ~right[1]).sum()),
        classes=_classes(truth, *right),
        notes=notes,
    )


def _by_picture(run: Run, workspace: Workspace) -> pd.DataFrame:
    """The answers with what tells a picture from others: its key, or its place where nobody has that; each once."""
    keys, root = run.keys(workspace), run.root
    known = [keys[path].hex() if path in keys else f"{root}/{path}" for path in run.answers["path"]]
    return run.answers.assign(picture=known).drop_duplicates("picture")


def _classes(truth: np.ndarray, one: np.ndarray, two: np.ndarray) -> list[Class]:
    names, codes, counts = np.unique(truth, return_inverse=True, return_counts=True)
    recalls = [np.bincount(codes, right) / counts for right in (one, two)]
    order = np.argsort(-np.abs(recalls[0] - recalls[1]), kind="stable")
    return [Class(str(names[i]), int(counts[i]), (float(recalls[0][i]), float(recalls[1][i]))) for i in order]
