"""A manifest and a space without pictures behind them."""

from hashlib import sha256

import numpy as np

from cache.manifest import Manifest
from cache.space import Space

SPACE = Space(
    backbone="pixels",
    weights="0" * 64,
    pooling="none",
    input_size=8,
    resize="crop",
    preprocessing="none",
    decoder="none",
)


def make_manifest(labels: np.ndarray, classes: tuple[str, ...], seed: int = 0) -> Manifest:
    """A manifest of len(labels) distinct pictures; `seed` makes other pictures."""
    n = len(labels)
    keys = b"".join(sha256(f"{seed}/{i}".encode()).digest() for i in range(n))
    return Manifest(
        root="/pictures",
        classes=classes,
        paths=[f"{seed}/{i}.png" for i in range(n)],
        label=np.asarray(labels, np.int32),
        split=np.zeros(n, np.uint8),
        key=np.frombuffer(keys, np.uint8).reshape(n, 32).copy(),
        size=np.ones(n, np.int64),
        mtime_ns=np.ones(n, np.int64),
    )
