"""Archives of models: fetched once, unpacked safely, kept by hash."""

import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from cache.errors import UserError
from extract.backbones.external import downloads, keras_file
from extract.backbones.external.saved_model import locate
from extract.sources.archives import archive


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def write_tar(
    path: Path, files: dict[str, bytes], *extra: tarfile.TarInfo, mode: Literal["w:gz", "w:xz"] = "w:gz"
) -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in extra:
            tar.addfile(member)
    return path


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    return write_tar(
        tmp_path / "site" / "module.tar.gz",
        {"./saved_model.pb": b"graph", "./variables/variables.index": b"1"},
    )


@pytest.fixture
def site(module: Path) -> Iterator[tuple[str, list[str]]]:
    """Address of a server on this machine, and what it was asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/short.tar.gz":  # and the connection ends within the answer
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"100\r\nshort")
            else:
                super().do_GET()

        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(module.parent))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_a_url_is_fetched_and_unpacked_once(site: tuple[str, list[str]], module: Path, cache: Path) -> None:
    url, asked = f"{site[0]}/module.tar.gz", site[1]
    where, folder, digest = locate(url)
    assert where == url and (folder / "saved_model.pb").read_bytes() == b"graph" and cache in folder.parents
    assert locate(url) == (where, folder, digest) and asked == ["/module.tar.gz"]
    assert locate(str(module))[1:] == (folder, digest)  # the same bytes from elsewhere
    assert not list(cache.glob(".tmp-*"))


def test_what_cannot_be_fetched_says_what_to_do(site: tuple[str, list[str]], cache: Path) -> None:
    for url in (
        *(f"{site[0]}/nothing.tar.gz", f"{site[0]}/my module.tar.gz", f"{site[0]}/short.tar.gz"),
        *("http://127.0.0.1:9/module.tar.gz", "http://"),
    ):
        with pytest.raises(UserError, match=r"Expected to download .*savedmodel:FILE.tar.gz"):
            locate(url)
    assert not list(cache.glob("*"))


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize(
    ("files", "extra"),
    [
        ({"../outside.txt": b"x", "saved_model.pb": b"graph"}, []),
        ({"a/../../outside.txt": b"x"}, []),
        ({}, [link("saved_model.pb", "/etc/passwd")]),
        ({}, [link("up", "../..")]),
        ({"saved_model.pb": b"graph"}, [link("inner", "saved_model.pb")]),
    ],
)
def test_names_that_lead_outside_are_refused(
    tmp_path: Path, cache: Path, files: dict[str, bytes], extra: list[tarfile.TarInfo]
) -> None:
    file = write_tar(tmp_path / "evil.tar.gz", files, *extra)
    with pytest.raises(UserError, match=r"files that stay in their folder.*Nothing of it was used"):
        downloads.unpack(file)
    assert not list(tmp_path.rglob("outside.txt")) and not list(cache.glob("*"))


def test_a_chain_of_links_leads_nowhere(tmp_path: Path, cache: Path) -> None:
    # Names longer than a path may be hide from `os.path.realpath` where the last link leads (CVE-2025-4517).
    (tmp_path / "outside").mkdir()
    component, steps, path, members = "d" * 247, "abcdefghijklmnop", "", []
    for step in steps:
        folder = tarfile.TarInfo(f"{path}{component}")
        folder.type = tarfile.DIRTYPE
        members += [folder, link(f"{path}{step}", component)]
        path += f"{component}/"
    long = f"{'/'.join(steps)}/{'l' * 254}"
    members += [link(long, "../" * len(steps)), link("escape", f"{long}/../../../outside")]
    file = write_tar(tmp_path / "evil.tar.gz", {}, *members, tarfile.TarInfo("escape/outside.txt"))
    with pytest.raises(UserError, match=r"files that stay in their folder.*\(a link\)"):
        downloads.unpack(file)
    assert not list((tmp_path / "outside").iterdir()) and not list(cache.glob("*"))


def test_a_damaged_archive_is_refused(tmp_path: Path, cache: Path) -> None:
    noise = np.random.default_rng(0).bytes(300_000)
    for name in ("noise.tar.gz", "text.tar.gz", "xz.tar"):
        data = noise if name == "noise.tar.gz" else b"".join(b"%d," % n for n in range(100_000))
        file = write_tar(
            tmp_path / name, {"saved_model.pb": data}, mode="w:xz" if name == "xz.tar" else "w:gz"
        )
        raw = bytearray(file.read_bytes())
        raw[5000:5030] = noise[:30]
        file.write_bytes(raw)
        with pytest.raises(UserError, match=r"Expected a whole archive in .*Get it again"):
            locate(str(file))
    assert not list(cache.glob("*"))


def test_what_holds_no_saved_model_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UserError, match=r"one saved_model.pb in .*none among readme.txt"):
        locate(str(write_tar(tmp_path / "other.tar.gz", {"readme.txt": b"hello"})))
    two = write_tar(tmp_path / "two.tar.gz", {"a/saved_model.pb": b"1", "b/saved_model.pb": b"2"})
    with pytest.raises(UserError, match="received 2 of them"):
        locate(str(two))
    (tmp_path / "bad.tar.gz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="Expected a whole archive"):
        locate(str(tmp_path / "bad.tar.gz"))
    good = write_tar(tmp_path / "cut.tar.gz", {"saved_model.pb": bytes(range(256)) * 999}).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(good[: len(good) // 2])
    with pytest.raises(UserError, match="Expected a whole archive"):
        locate(str(tmp_path / "cut.tar.gz"))
    (tmp_path / "own.keras").write_bytes(b"")
    with pytest.raises(UserError, match=r"is given as keras:own\.keras"):
        locate(str(tmp_path / "own.keras"))
    assert not list(cache.glob(".tmp-*"))


def test_an_archive_made_to_fill_the_disk_is_stopped(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "ALLOWANCE", 0)
    with pytest.raises(UserError, match=r"Expected at most .* bytes"):
        downloads.unpack(write_tar(tmp_path / "bomb.tar.gz", {"saved_model.pb": bytes(10**7)}))
    assert not list(cache.glob("*"))


def test_tf_hub_is_asked_for_the_archive() -> None:
    url = "https://tfhub.dev/google/imagenet/inception_v3/feature_vector/5"
    assert downloads._compressed(url) == f"{url}?tf-hub-format=compressed"
    assert downloads._compressed("https://example.org/a.tar.gz") == "https://example.org/a.tar.gz"


def test_the_hash_of_a_folder_is_that_of_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a" / "variables").mkdir(parents=True)
    (tmp_path / "a" / "variables" / "x").write_bytes(b"1")
    first = downloads.hash_folder(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert downloads.hash_folder(tmp_path / "b") == first
    (tmp_path / "b" / "variables" / "x").rename(tmp_path / "b" / "variables" / "y")
    assert downloads.hash_folder(tmp_path / "b") != first


def test_the_hash_of_a_folder_sees_what_is_behind_links(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "x").write_bytes(b"1")
    (tmp_path / "model" / "variables").symlink_to("../shared")
    (tmp_path / "shared" / "loop").symlink_to(tmp_path / "model")
    first = downloads.hash_folder(tmp_path / "model")
    (tmp_path / "shared" / "x").write_bytes(b"2")
    assert downloads.hash_folder(tmp_path / "model") != first


@pytest.mark.parametrize("find", [locate, keras_file.locate])
def test_the_home_of_nobody_is_no_place(find: Callable[[str], object]) -> None:
    with pytest.raises(UserError, match="which is not there"):
        find("~nobody-of-this-name/model.keras")
