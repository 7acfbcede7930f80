"""Pictures of one colour a class on the disk, in a workspace as `extract` leaves it."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from cache.manifest import Manifest
from cache.workspace import Workspace
from classify.runs.folder import write_json
from classify.runs.record import of_space
from classify.runs.scores import Scores, write
from tests.classify.samples import SPACE

COLOURS = ((200, 30, 30), (30, 160, 60), (40, 60, 200))


def keep_pictures(
    root: Path, labels: Sequence[int], classes: Sequence[str], *, first: int = 0
) -> tuple[Workspace, Manifest]:
    """Write a picture for each label, with rows that lie in three lumps, and make them the data set "things".

    Returns the workspace and the manifest; the picture of row i is named by `first` + i, and so is its content.
    """
    folder = root / "things"
    folder.mkdir(exist_ok=True)
    paths, keys, rows = [], b"", []
    for number, label in enumerate(labels, first):
        generator = np.random.default_rng(number)
        pixels = np.full((40, 60, 3), COLOURS[label % 3], np.uint8)
        pixels[:8, :8] = generator.integers(0, 256, (8, 8, 3))
        out = BytesIO()
        Image.fromarray(pixels).save(out, "png")
        paths.append(f"{number}.png")
        (folder / paths[-1]).write_bytes(out.getvalue())
        keys += sha256(out.getvalue()).digest()
        rows.append(np.eye(8)[label % 3] * 4 + generator.normal(size=8) * 0.3)
    n = len(labels)
    manifest = Manifest(
        root=str(folder),
        classes=tuple(classes),
        paths=paths,
        label=np.array(labels, np.int32),
        split=np.zeros(n, np.uint8),
        key=np.frombuffer(keys, np.uint8).reshape(n, 32).copy(),
        size=np.ones(n, np.int64),
        mtime_ns=np.ones(n, np.int64),
    )
    workspace = Workspace(root / ".coldframe").create()
    store = workspace.store(SPACE)
    new = ~store.contains(manifest.key)
    if new.any():
        store.add(manifest.key[new], np.array(rows, np.float32)[new])
    workspace.save_manifest("things", manifest)
    workspace.remember(dataset="things", space=SPACE.id)
    return workspace, manifest


def answer(workspace: Workspace, manifest: Manifest, name: str = "001-fit-head") -> Path:
    """A run that answers with the next class for the first picture, and rightly for the others but the last."""
    folder = workspace.runs / name
    folder.mkdir(parents=True)
    n, count = len(manifest), len(manifest.classes)
    right = manifest.label.copy()
    right[0] = (right[0] + 1) % count
    scores = Scores(
        classes=manifest.classes,
        key=manifest.key,
        path=tuple(manifest.paths),
        label=manifest.label,
        part=np.where(np.arange(n) % 2, 2, 0).astype(np.uint8),
        fold=np.zeros(n, np.int16),
        group=np.arange(n, dtype=np.int32),
        probability=(np.eye(count)[right] * 0.8 + 0.2 / count).astype(np.float32),
    )
    rows = np.arange(n - 1)
    names = ("key", "label", "part", "fold", "group", "probability")
    scores = replace(
        scores,
        path=scores.path[:-1],
        **{name: np.ascontiguousarray(getattr(scores, name)[rows]) for name in names},
    )
    write(folder, scores)
    write_json(
        folder / "run.json",
        {"command": "fit-head", "dataset": "things", "space": of_space(SPACE), "head": {"name": "logreg"}},
    )
    workspace.remember(
        run={"path": name, "dataset": "things"}, runs={"things": {"path": name, "dataset": "things"}}
    )
    return folder
