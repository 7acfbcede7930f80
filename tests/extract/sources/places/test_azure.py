"""Pictures and workspace in Azure's storage, stood in for by Azurite; skipped where that is not installed."""

import base64
import hashlib
import hmac
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from cache.errors import UserError
from cache.storage.remote import mirror, objects
from cache.storage.remote.objects import Objects
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.settings import Decoding, Options
from extract.sources.places import objects as pictures
from tests.extract.counting import CountingEngine
from tests.store_of_objects import upload

pytestmark = pytest.mark.remote
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # of each Azurite


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An empty container of a server that runs as long as the test."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("npm install --global azurite: it stands in for Azure")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        "--blobPort",
        str(port),
        "--inMemoryPersistence",
        "--skipApiVersionCheck",
        "--disableTelemetry",
        "--silent",
    ]
    server = subprocess.Popen([program, *words], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        _create(port, "bucket")
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"http://127.0.0.1:{port}/{ACCOUNT}")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
        monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")
        monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "copies"))
        monkeypatch.setattr(mirror, "_mirrors", {})
        objects._open.cache_clear()
        pictures._bucket.cache_clear()
        yield "az://bucket"
    finally:
        objects._open.cache_clear()
        pictures._bucket.cache_clear()
        server.kill()  # it would wait for connections that are kept
        server.wait()


def _create(port: int, name: str) -> None:
    """Make a container, which obstore cannot, as soon as the server answers."""
    date, path = formatdate(usegmt=True), f"/{ACCOUNT}/{name}"
    lines = [
        "PUT",
        *[""] * 11,
        f"x-ms-date:{date}",
        "x-ms-version:2021-08-06",
        f"/{ACCOUNT}{path}",
        "restype:container",
    ]
    signed = hmac.new(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256).digest()
    headers = {"x-ms-date": date, "x-ms-version": "2021-08-06", "Content-Length": "0"}
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signed).decode()}"
    address, end = f"http://127.0.0.1:{port}{path}?restype=container", time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="PUT", headers=headers)).close()
            return
        except OSError:  # not yet
            assert time.monotonic() < end
            time.sleep(0.1)


def test_pictures_and_workspace(
    container: str, folder: Path, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    upload(folder, f"{container}/animals")

    def run() -> tuple[int, int]:
        workspace = Workspace.locate(f"{container}/cache")
        how = Backbone.of("mobilenet_v2", "none", 32), Decoding(), Options()
        done = extract(workspace, Path(f"{container}/animals"), *how, name="animals")
        return done.embedded, done.cached

    assert run() == (9, 0)
    reads = list[str]()
    read = pictures._read
    monkeypatch.setattr(pictures, "_read", lambda address: reads.append(address) or read(address))
    assert run() == (0, 9) and not reads  # what a listing says of an object is what reading it said
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "another machine"))
    mirror._mirrors.clear()
    assert Workspace.locate(f"{container}/cache").load().embedding.shape[0] == 9
    store = Objects(f"{container}/cache")
    assert store.put_new("lock", b"") and not store.put_new("lock", b"")
    assert all(store.head(found.path) == found for found in store.list())
    with pytest.raises(UserError, match="Expected a bucket at az://none, found none"):
        list(Objects("az://none/x").list())
