"""What several test modules share: real pictures, and a user cache folder that outlives no test session."""

import os
import shutil
import tempfile
from functools import partial
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
if "PYTEST_XDIST_WORKER" in os.environ:  # threads of several workers on the same cores wait for one another
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(name, "1")


def pytest_configure(config: pytest.Config) -> None:
    """Keep away from the user's folders, and convert each backbone once for all workers.

    Set COLDFRAME_CACHE to keep the converted networks, COLDFRAME_STATE to keep what the tests trusted.
    """
    for variable in ("COLDFRAME_CACHE", "COLDFRAME_STATE"):
        if variable not in os.environ:
            os.environ[variable] = tempfile.mkdtemp(prefix="coldframe-tests-")
            config.add_cleanup(partial(_remove, variable))


def _remove(variable: str) -> None:
    shutil.rmtree(os.environ.pop(variable), ignore_errors=True)
