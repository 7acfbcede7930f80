"""Pictures in a store of objects: a real server of S3, and what goes wrong with one."""

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.errors import UserError
from cache.storage.remote.objects import Objects
from cache.workspace import Workspace
from extract.backbones.backbone import Backbone
from extract.commands.extract import Summary, extract
from extract.commands.manifest import survey
from extract.embedding.progress import Progress
from extract.pictures.files import opened
from extract.settings import Decoding, Options
from extract.sources.folder import read_folder
from extract.sources.places import objects as places
from extract.sources.unlabelled import list_pictures
from tests.extract.counting import CountingEngine
from tests.store_of_objects import SLOW_DOWN, Failing, Server, upload

pytestmark = pytest.mark.remote
_numbers = itertools.count()


@pytest.fixture
def address(s3: Server, folder: Path) -> str:
    """Nine pictures of cats and dogs in a place of their own."""
    found = f"s3://bucket/pictures-{next(_numbers)}/animals"
    upload(folder, found)
    s3.asked.clear()
    return found


def run(address: str | Path, workspace: Path) -> Summary:
    how = Backbone.of("mobilenet_v2", "none", 32), Decoding(), Options()
    return extract(Workspace(workspace), Path(address), *how, name="animals")


def counts(summary: Summary) -> tuple[int, int, int, int]:
    assert summary.files == summary.embedded + summary.cached + summary.rejected
    return summary.files, summary.embedded, summary.cached, summary.rejected


def pictures_read(s3: Server) -> int:
    return sum(method == "GET" and ".png" in path for method, path in s3.asked)


def test_a_second_run_reads_no_object(
    address: str, s3: Server, tmp_path: Path, engine: CountingEngine
) -> None:
    assert counts(run(address, tmp_path / "w")) == (9, 9, 0, 0)
    assert pictures_read(s3) == 9
    s3.asked.clear()
    assert counts(run(address, tmp_path / "w")) == (9, 0, 9, 0)
    assert [method for method, _ in s3.asked] == ["GET"] and "list-type" in s3.asked[0][1]


def test_rows_and_labels_are_those_of_the_folder(
    address: str, folder: Path, tmp_path: Path, engine: CountingEngine
) -> None:
    run(address, tmp_path / "far")
    run(folder, tmp_path / "near")
    far, near = (Workspace(tmp_path / name).load("animals") for name in ("far", "near"))
    assert far.manifest.paths == near.manifest.paths and far.manifest.classes == near.manifest.classes
    assert far.manifest.root == address
    assert np.array_equal(far.manifest.key, near.manifest.key)
    assert np.array_equal(far.embedding, near.embedding)
    assert far.manifest.to_frame()["mtime"].isna().all()


def test_only_what_changed_is_read(
    address: str, s3: Server, folder: Path, tmp_path: Path, engine: CountingEngine
) -> None:
    run(address, tmp_path / "w")
    objects = Objects(address)
    one, other = sorted(found.path for found in objects.list())[:2]
    objects.put(one, (folder / one).read_bytes())  # the same bytes again, later: the etag stays
    objects.put(other, png(seed=7))
    s3.asked.clear()
    assert counts(run(address, tmp_path / "w")) == (9, 1, 8, 0)
    assert pictures_read(s3) == 1


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def test_a_busy_server_is_asked_again(
    address: str, s3: Server, tmp_path: Path, engine: CountingEngine
) -> None:
    asked: set[str] = set()

    def busy(handler: Failing, method: str, path: str) -> bool:
        first = path not in asked
        asked.add(path)
        return first and handler.refuse(503, SLOW_DOWN)

    s3.fails(busy)
    assert counts(run(address, tmp_path / "w")) == (9, 9, 0, 0)
    assert len(asked) == 10


def test_a_connection_that_breaks_in_an_object_is_taken_up_again(
    address: str, s3: Server, folder: Path, tmp_path: Path, engine: CountingEngine
) -> None:
    cut: set[str] = set()

    def breaks(handler: Failing, method: str, path: str) -> bool:
        if ".png" not in path or path in cut:
            return False
        cut.add(path)
        return handler.cut()

    s3.fails(breaks)
    assert counts(run(address, tmp_path / "w")) == (9, 9, 0, 0)
    assert len(cut) == 9
    near = run(folder, tmp_path / "near")
    assert (near.embedded, near.rejected) == (9, 0)
    far, there = (Workspace(tmp_path / name).manifest("animals") for name in ("w", "near"))
    assert np.array_equal(far.key, there.key)  # the same bytes, whatever was cut


def test_a_server_that_stays_busy_ends_the_run_and_what_was_done_stays(
    address: str, s3: Server, tmp_path: Path, engine: CountingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "AHEAD", 1)
    last = sorted(found.path for found in Objects(address).list())[-1]
    s3.fails(lambda handler, method, path: path.endswith(last) and handler.refuse(503, SLOW_DOWN))
    with pytest.raises(
        UserError, match=r"s3://bucket to answer, but: 503 .*SlowDown after 4 retries.* is kept"
    ):
        run(address, tmp_path / "w")
    s3.fails(None)
    assert counts(run(address, tmp_path / "w"))[0] == 9


def test_one_object_that_is_denied_or_gone_is_a_reject(
    address: str, s3: Server, tmp_path: Path, engine: CountingEngine
) -> None:
    one, other = sorted(found.path for found in Objects(address).list())[:2]

    def denied(handler: Failing, method: str, path: str) -> bool:
        if path.endswith(one):
            return handler.refuse(403, b"<Error><Code>AccessDenied</Code></Error>")
        return path.endswith(other) and handler.refuse(404, b"<Error><Code>NoSuchKey</Code></Error>")

    s3.fails(denied)
    found = run(address, tmp_path / "w")
    assert counts(found) == (9, 7, 0, 2)
    assert [reject.path for reject in found.rejects] == [one, other]
    assert "access denied" in found.rejects[0].reason and "no such object" in found.rejects[1].reason


def test_an_object_that_changes_while_it_is_read_is_read_again(
    address: str, s3: Server, tmp_path: Path, engine: CountingEngine
) -> None:
    objects = Objects(address)
    (one,) = sorted(found.path for found in objects.list())[:1]
    fresh, done = png(seed=8), []

    def changes(handler: Failing, method: str, path: str) -> bool:
        if not path.endswith(one) or method != "GET" or done:
            return False
        done.append(path)
        return handler.cut(then=lambda: objects.put(one, fresh))

    s3.fails(changes)
    assert counts(run(address, tmp_path / "w")) == (9, 9, 0, 0)
    with opened(f"{address}/{one}") as contents:
        assert contents.data == fresh
    manifest = Workspace(tmp_path / "w").manifest("animals")
    assert manifest.key[manifest.paths.index(one)].tobytes() == contents.key
    s3.asked.clear()
    assert counts(run(address, tmp_path / "w")) == (9, 0, 9, 0)
    assert pictures_read(s3) == 0


def test_large_objects_are_read_as_far_as_they_are_asked_for(
    s3: Server, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "WHOLE", 100)
    picture = png(seed=9)
    Objects(address).put("cat/large.png", picture)
    with opened(f"{address}/cat/large.png") as contents:
        assert contents.data == picture


def test_a_manifest_reads_each_object(address: str, s3: Server, tmp_path: Path) -> None:
    found = survey(Workspace(tmp_path / "w"), Path(address), None, Progress())
    assert len(found.manifest) == 9 and found.manifest.hashed.all() and found.rejects == []


def test_no_credentials(address: str, s3: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cache.storage.remote import objects

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    objects._open.cache_clear()
    with pytest.raises(UserError, match=r"Expected credentials for s3://bucket.*AWS_ACCESS_KEY_ID"):
        read_folder(Path(address))


def test_a_profile_has_credentials(
    address: str, s3: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cache.storage.remote import objects

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "credentials").write_text("[mine]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    objects._open.cache_clear()
    assert len(read_folder(Path(address)).manifest) == 9


def test_a_wrong_bucket(s3: Server) -> None:
    with pytest.raises(UserError, match="Expected a bucket at s3://nobucket, found none"):
        read_folder(Path("s3://nobucket/flowers"))


def test_keys_that_are_refused(s3: Server) -> None:
    s3.fails(lambda handler, *_: handler.refuse(403, b"<Error><Code>InvalidAccessKeyId</Code></Error>"))
    with pytest.raises(UserError, match=r"denies to these credentials .InvalidAccessKeyId"):
        read_folder(Path("s3://bucket/flowers"))


def test_nothing_at_an_address(s3: Server) -> None:
    with pytest.raises(UserError, match="received nothing: no object's name begins so"):
        read_folder(Path("s3://bucket/none"))


@pytest.mark.parametrize("name", ["labels.csv", "pictures.zip"])
def test_a_table_or_an_archive_at_an_address(s3: Server, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="Copy tables and archives to this machine"):
        run(f"s3://bucket/{name}", tmp_path / "w")


def test_folders_mean_what_they_mean_on_a_disk(s3: Server) -> None:
    address = f"s3://bucket/tree-{next(_numbers)}"
    objects = Objects(address)
    names = ["data/README.md", "data/train/cat/1.png", "data/train/cat/deep/2.png", "data/test/dog/3.png"]
    hidden = ["data/train/cat/.hidden.png", "data/.git/config", "data/train/cat/Thumbs.db"]
    for name in [*names, *hidden, "data/train/stray.png"]:
        objects.put(name, b"x")
    objects.put("data/train/cat/empty", b"")
    found = read_folder(Path(address))
    assert found.manifest.paths == [
        "data/test/dog/3.png",
        "data/train/cat/1.png",
        "data/train/cat/deep/2.png",
        "data/train/cat/empty",
    ]
    assert found.manifest.classes == ("cat", "dog") and found.manifest.split.tolist() == [3, 1, 1, 1]
    assert found.ignored == 3
    assert {reject.path for reject in found.rejects} == {"data/README.md", "data/train/stray.png"}


def test_pictures_to_predict(address: str) -> None:
    found = list_pictures([Path(address)])
    assert len(found) == 9 and found.paths[0].startswith(address)
    assert list_pictures([Path(found.paths[0])]).paths == [found.paths[0]]


def test_in_memory(tmp_path: Path, folder: Path, engine: CountingEngine) -> None:
    upload(folder, "memory://place/animals")
    assert counts(run("memory://place/animals", tmp_path / "w")) == (9, 9, 0, 0)
    assert counts(run("memory://place/animals", tmp_path / "w")) == (9, 0, 9, 0)
