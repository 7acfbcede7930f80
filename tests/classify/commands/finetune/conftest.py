"""A small real data set, extracted and with a head: stripes at three angles, under noise."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.workspace import Workspace
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.settings import Decoding, Options

SIZE = 64
PER_CLASS = 20


def write_pictures(folder: Path, classes: int = 3, per_class: int = PER_CLASS) -> Path:
    """Stripes at three angles under heavy noise, as PNG files in class folders."""
    random = np.random.default_rng(0)
    across, down = np.meshgrid(np.arange(80), np.arange(80))
    for label in range(classes):
        angle = label * np.pi / classes
        (folder / f"class {label}").mkdir(parents=True)
        for number in range(per_class):
            wave = np.sin((across * np.cos(angle) + down * np.sin(angle)) / 3 + random.uniform(0, 6))
            noisy = 128 + 40 * wave[..., None] + random.normal(0, 60, (80, 80, 3))
            picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
            picture.save(folder / f"class {label}" / f"{number:02d}.png")
    return folder


def prepare(folder: Path, classes: int = 3, model: str = "logreg") -> Workspace:
    """Pictures, embeddings and a fitted head below `folder`."""
    pictures = write_pictures(folder / "stripes", classes)
    workspace = Workspace.locate(folder / ".coldframe")
    backbone = Backbone.of("efficientnet_lite0", input_size=SIZE, pooling="avg")
    extract(workspace, pictures, backbone, Decoding(), Options(engine="litert"))
    fit_heads(workspace, FitOptions(models=(model,), folds=3, curve=False))
    return workspace


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a workspace that is not to be written in."""
    folder = tmp_path_factory.mktemp("stripes")
    prepare(folder)
    return folder


@pytest.fixture
def stripes(prepared: Path, tmp_path: Path) -> Workspace:
    """A workspace of one's own with embeddings and a logreg head."""
    shutil.copytree(prepared, tmp_path / "work")
    return Workspace.locate(tmp_path / "work" / ".coldframe")


@pytest.fixture
def told() -> tuple[list[str], Callable[[str], None]]:
    """What was said, and where to say it."""
    lines: list[str] = []
    return lines, lines.append
