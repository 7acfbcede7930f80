"""Runs as fit-head leaves them, without the fitting: whatever classes, files and answers a test needs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cache.frame import NUMBER, TEXT, frame
from cache.storage.files import write_file
from cache.workspace import Workspace
from classify.metrics.evaluation import evaluate
from classify.metrics.reliability import calibration
from classify.report.text import csv_bytes, csv_text
from classify.runs.folder import write_json
from classify.runs.predictions import of_tables
from classify.runs.record import of_space, record
from extract.pictures.files import hashed
from tests.classify.samples import SPACE, make_manifest

HOSTILE = '<img src=x onerror=alert("class")>'
LONG = "a very long name of a class that goes on and on " * 5
RIGHT_TO_LEFT = "زهرة الأقحوان"


def picture(path: Path, seed: int) -> None:
    """Write one that nobody else has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), np.uint8)
    Image.fromarray(noise).resize((48, 48)).save(path, "PNG")


def make_run(
    folder: Path,
    classes: Sequence[str] = ("a", "b", "c"),
    n: int = 30,
    mistakes: int = 4,
    name: str = "001-fit-head",
    paths: Sequence[str] = (),
    seed: int = 0,
) -> tuple[Workspace, Path]:
    """Write pictures, a data set of them and a run that was tested on all; returns the workspace and the run's folder.

    Of the n pictures `mistakes` got the answer after their own, and the first ones are named as `paths`.
    """
    workspace = Workspace(folder / "w").create()
    codes = np.arange(n) % len(classes)
    manifest = make_manifest(codes, tuple(classes))
    files = [*paths, *(f"{number}.png" for number in range(len(paths), n))]
    manifest = replace(manifest, root=str(folder / "pictures"), paths=files)
    for row, file in enumerate(files):
        picture(folder / "pictures" / file, row)
        manifest.key[row] = np.frombuffer(hashed(folder / "pictures" / file).key, np.uint8)
    workspace.save_manifest("made", manifest)
    names = np.array(classes)
    scores = np.random.default_rng(seed).normal(0, 0.3, (n, len(classes)))
    scores[np.arange(n), (codes + (np.arange(n) < mistakes)) % len(classes)] += 4
    wide = np.exp(scores)
    probability = wide / wide.sum(axis=1, keepdims=True)
    said = names[probability.argmax(axis=1)]
    evaluation = evaluate(names[codes], said, probability, np.sort(names))
    run = workspace.runs / name
    run.mkdir(parents=True)
    columns: dict[str, Any] = {"path": TEXT, "label": TEXT, "predicted": TEXT, "probability": NUMBER}
    rows = zip(files, names[codes].tolist(), said.tolist(), probability.max(axis=1).tolist(), strict=True)
    table = frame(columns, [dict(zip(columns, row, strict=True)) for row in rows])
    write_file(run / "predictions.csv", csv_bytes(csv_text(table)))
    head = {
        "name": "centroid",
        "params": {"metric": "cosine"},
        "cv_accuracy": 0.9,
        "cv_std": 0.01,
        "seconds": 0.5,
    }
    sets = {"test part": calibration(scores, codes, 1.2).to_json()}
    write_json(
        run / "report.json",
        {
            "networks": None,
            "heads": [head | {"test": evaluation.to_json(), "calibration": sets}],
            "comparisons": [],
        },
    )
    described = record(
        "fit-head",
        dataset="made",
        root=manifest.root,
        split={"train": 0, "test": n},
        space=of_space(SPACE),
        head={"name": "centroid", "cv_accuracy": 0.9, "classes": list(classes)},
        parameters={"folds": 5},
        notes=["a note of <b>the run</b>"],
        **of_tables(run),
    )
    write_json(run / "run.json", described | {"created": "2026-01-02T03:04:05+00:00"})
    return workspace, run
