"""What several test modules share: real pictures, and a user cache folder that outlives no test session."""

import os
import shutil
from pathlib import Path

import pytest

FLOWERS = Path(__file__).parents[2] / "shared" / "flowers"


@pytest.fixture(scope="session")
def flowers() -> Path:
    """Folder of five class folders of real photographs; tests that need it are skipped without it."""
    if not FLOWERS.is_dir():
        pytest.skip("the flower photographs are not here")
    return FLOWERS


@pytest.fixture
def few_flowers(flowers: Path, tmp_path: Path) -> Path:
    """A copy of the first eight photographs of each class."""
    folder = tmp_path / "flowers"
    for label in sorted(p for p in flowers.iterdir() if p.is_dir()):
        (folder / label.name).mkdir(parents=True)
        for picture in sorted(label.iterdir())[:8]:
            shutil.copy2(picture, folder / label.name)
    return folder


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session", autouse=True)
def _one_network_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Convert each backbone once a session, away from the user's own cache (set COLDFRAME_CACHE to reuse one)."""
    os.environ.setdefault("COLDFRAME_CACHE", str(tmp_path_factory.mktemp("networks")))
