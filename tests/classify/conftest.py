"""A small real data set in a workspace: scikit-learn's digits, whose 64 pixels stand for an embedding."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cache.manifest import Manifest
from cache.workspace import Workspace
from tests.classify.samples import SPACE, make_manifest


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """(600, 64) float32 in [0, 1] and (600,) class names that look like numbers."""
    X, y = load_digits(return_X_y=True)
    return (X[:600] / 16).astype(np.float32), y[:600].astype(str)


@pytest.fixture
def build(tmp_path: Path) -> Callable[[Manifest, np.ndarray], Workspace]:
    """Put a manifest and its embeddings into a workspace, as `extract` leaves it."""

    def build(manifest: Manifest, X: np.ndarray) -> Workspace:
        workspace = Workspace(tmp_path / ".coldframe").create()
        workspace.store(SPACE).add(manifest.key, X)
        workspace.save_manifest("digits", manifest)
        workspace.remember(dataset="digits", space=SPACE.id)
        return workspace

    return build


@pytest.fixture
def workspace(digits: tuple[np.ndarray, np.ndarray], build: Callable[..., Workspace]) -> Workspace:
    """The first 300 digits, ready for `fit_heads`."""
    X, y = digits
    return build(make_manifest(y[:300].astype(int), tuple("0123456789")), X[:300])
