"""A workspace with rows that no picture is behind: classes among correlated, skewed numbers, as networks give them."""

from pathlib import Path

import numpy as np

from cache.manifest import Manifest
from cache.space import Space
from cache.workspace import Workspace

SHARD = 65_536
LATENT = 96  # directions in which rows differ but for noise
APART = 0.42  # of class means, in deviations within a class and latent direction


def workspace(folder: Path, n: int, width: int, classes: int, seed: int = 0) -> Workspace:
    """Open the workspace in `folder` of n rows of `width` float16 numbers in `classes` classes; make a missing one.

    Row i is seeded by its shard, so that a larger workspace begins with the rows of a smaller one.
    """
    place = Workspace(folder / f"{n}x{width}-{classes}-{seed}")
    if (place.root / "current.json").exists():
        return place
    space = Space("made-up", "0" * 64, "avg", 224, "squash", "none", "none", dtype="float16")
    store = place.create().store(space)
    draw = np.random.default_rng(seed)
    means = draw.normal(0, APART, (classes, LATENT))
    mixing = draw.normal(0, 1, (LATENT, width)) * np.geomspace(1, 0.1, LATENT)[:, None] / 4
    bias = draw.normal(0, 0.5, width)
    label, key = np.empty(n, np.int32), np.empty((n, 32), np.uint8)
    for start in range(0, n, SHARD):
        stop, own = min(start + SHARD, n), np.random.default_rng([seed, start])
        label[start:stop] = own.integers(classes, size=stop - start)
        key[start:stop] = own.integers(256, size=(stop - start, 32), dtype=np.uint8)
        latent = means[label[start:stop]] + own.normal(size=(stop - start, LATENT))
        rows = (latent @ mixing + bias).astype(np.float32)
        rows += 0.3 * own.standard_normal(rows.shape, np.float32)
        store.add(key[start:stop], np.maximum(rows, 0))
    names = tuple(f"class{number:02d}" for number in range(classes))
    place.save_manifest(
        "made-up",
        Manifest(
            root=str(place.root / "pictures"),
            classes=names,
            paths=[f"{names[code]}/{row:08d}.jpg" for row, code in enumerate(label.tolist())],
            label=label,
            split=np.zeros(n, np.uint8),
            key=key,
            size=np.ones(n, np.int64),
            mtime_ns=np.ones(n, np.int64),
        ),
    )
    place.remember(dataset="made-up", space=space.id)
    return place
