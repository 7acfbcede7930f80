"""What several test modules share: real pictures, and a user cache folder that outlives no test session."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

import pytest

from tests.raylets import END, Raylets
from tests.store_of_objects import Server, served

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


@pytest.fixture(scope="session", autouse=True)
def convert_apart() -> Iterator[Callable[..., dict[str, Any]]]:
    """Networks are converted here, without the seconds that a process takes to start; gives what would start it."""
    from extract.engines import conversion

    apart = conversion._child
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "_child", lambda backbone, pixels="": conversion._answer(backbone, pixels))
        yield apart


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount a tiny disk here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    """A server of S3 on this machine, with a bucket named `bucket`; see `s3`."""
    pytest.importorskip("moto", reason="moto is not installed")
    with served() as server:
        import boto3

        boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            aws_access_key_id="a",
            aws_secret_access_key="b",
            region_name="us-east-1",
        ).create_bucket(Bucket="bucket")
        yield server


@pytest.fixture
def s3(s3_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """The server, found by its environment variables, patient for a moment only, and asked for nothing yet."""
    from cache.storage.remote import mirror, objects
    from extract.sources.places import objects as pictures

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    quick = {"init_backoff": timedelta(milliseconds=5), "max_backoff": timedelta(milliseconds=20), "base": 2}
    monkeypatch.setattr(
        objects, "RETRIES", {"max_retries": 4, "retry_timeout": timedelta(seconds=9), "backoff": quick}
    )
    known = dict(mirror._mirrors)
    objects._open.cache_clear()
    pictures._bucket.cache_clear()
    s3_server.asked.clear()
    yield s3_server
    s3_server.fails(None)
    mirror._mirrors.clear()
    mirror._mirrors.update(known)
    objects._open.cache_clear()
    pictures._bucket.cache_clear()


@pytest.fixture(scope="session")
def started_raylets() -> Iterator[Raylets]:
    """One for all tests, as it takes long to start; see `raylets`."""
    pytest.importorskip("ray", reason="ray is not installed")
    found = Raylets()
    yield found
    found.close()


@pytest.fixture
def raylets(started_raylets: Raylets, monkeypatch: pytest.MonkeyPatch) -> Raylets:
    """A Ray of three idle nodes, to which this process is connected; what waits for it has the time it needs."""
    from classify.heads.cluster import team
    from extract.embedding.cluster import crew, nodes

    for module, patience in ((crew, "PATIENCE"), (crew, "ENDING"), (nodes, "PATIENCE"), (team, "ALL")):
        monkeypatch.setattr(module, patience, END)
    started_raylets.restore()
    return started_raylets


@pytest.fixture
def ray(raylets: Raylets) -> Any:
    """The module `ray`, connected to `raylets`."""
    return raylets.ray


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Leave PNG files white but in tests marked `figures`: Matplotlib takes longer for them than commands do."""
    from matplotlib.figure import Figure

    with pytest.MonkeyPatch.context() as patch:
        if not item.get_closest_marker("figures"):
            patch.setattr(Figure, "savefig", partialmethod(_white, Figure.savefig))
        return (yield)


def _white(figure: Any, draw: Callable[..., None], out: Any, *, format: str, **options: Any) -> None:
    from PIL import Image

    if format != "png":
        return draw(figure, out, format=format, **options)
    width, height = (figure.get_size_inches() * options["dpi"]).astype(int)
    Image.new("L", (width, height), "white").save(out, "png")


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
