"""A small data set of tinted noise in a workspace, as `extract` leaves it; its embeddings are mean colours."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.space import Space
from cache.workspace import Workspace
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from extract.commands.manifest import survey
from extract.embedding.progress import Progress
from extract.pictures.decoding import DECODERS

PER_CLASS = 20
TINTS = {"blue": (60, 60, 190), "green": (60, 190, 60), "red": (190, 60, 60)}
SPACE = Space(
    backbone="mean colour",
    weights="0" * 64,
    pooling="none",
    input_size=8,
    resize="crop",
    preprocessing="none",
    decoder=DECODERS["fast"],
)


def write_pictures(folder: Path) -> Path:
    """Noise of three tints, 12 x 12 pixels, as PNG files in class folders."""
    random = np.random.default_rng(0)
    for name, tint in TINTS.items():
        (folder / name).mkdir(parents=True)
        for number in range(PER_CLASS):
            noisy = np.clip(np.array(tint) + random.normal(0, 40, (12, 12, 3)), 0, 255)
            Image.fromarray(noisy.astype(np.uint8)).save(folder / name / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="session")
def _tinted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tinted")
    workspace = Workspace.locate(folder / ".coldframe")
    manifest = survey(workspace, write_pictures(folder / "tints"), None, Progress()).manifest
    colours = [
        np.asarray(Image.open(folder / "tints" / path)).astype(np.float32).reshape(-1, 3).mean(axis=0)
        for path in manifest.paths
    ]
    workspace.store(SPACE).add(manifest.key, np.stack(colours))
    workspace.remember(space=SPACE.id)
    fit_heads(workspace, FitOptions(models=("centroid",), folds=3, curve=False))
    return folder


@pytest.fixture
def tinted(_tinted: Path, tmp_path: Path) -> Workspace:
    """A workspace of one's own with 60 pictures and a head."""
    shutil.copytree(_tinted, tmp_path / "work")
    (tmp_path / "work" / "tints").rename(tmp_path / "tints")
    workspace = Workspace.locate(tmp_path / "work" / ".coldframe")
    manifest = workspace.manifest("tints")
    manifest.root = str(tmp_path / "tints")
    workspace.save_manifest("tints", manifest)
    return workspace
