"""A workspace in a store of objects: what one machine writes, another reads, and how much is fetched for it."""

import itertools
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.manifest import Manifest
from cache.space import Space
from cache.storage.files import locked
from cache.storage.rejects import Reject
from cache.storage.remote import copies, mirror
from cache.storage.remote.objects import Objects
from cache.storage.store import Store
from cache.workspace import Workspace
from tests.store_of_objects import SLOW_DOWN, Server

pytestmark = pytest.mark.remote
_numbers = itertools.count()
Machine = Callable[[str], None]
SPACE = Space("net", "w" * 64, "avg", 224, "crop", "tf", "pillow", "plain", "float32", "float32")


@pytest.fixture
def address(s3: Server) -> str:
    return f"s3://bucket/workspace-{next(_numbers)}"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """Go on as a machine of that name: with its own copies, and no memory of others."""

    def become(name: str) -> None:
        monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / name))
        mirror._mirrors.clear()

    become("one")
    return become


def rows(n: int, seed: int = 0, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 32), np.uint8), rng.normal(size=(n, width)).astype(np.float32)


def a_manifest(key: np.ndarray) -> Manifest:
    n = len(key)
    paths = [f"{i % 2}/{i}.jpg" for i in range(n)]
    label, size = np.arange(n, dtype=np.int32) % 2, np.full(n, 7)
    return Manifest("/pictures", ("0", "1"), paths, label, np.zeros(n, np.uint8), key, size, size)


def test_what_one_machine_writes_another_reads(address: str, machine: Machine) -> None:
    key, row = rows(40)
    here = Workspace.locate(address)
    store = here.store(SPACE)
    store.add(key, row)
    store.add_rejects([Reject(b"k" * 32, "0/x.jpg", "no picture", "pillow")])
    here.save_manifest("flowers", a_manifest(key))
    here.remember(dataset="flowers", space=SPACE.id)
    run = here.new_run("fit-head")
    machine("two")
    there = Workspace.locate(address)
    assert there.datasets() == ["flowers"] and there.root != here.root
    data = there.load()
    assert np.array_equal(data.embedding, row) and data.manifest.paths == a_manifest(key).paths
    assert there.store(SPACE).rejects("pillow") == {b"k" * 32: "no picture"}
    assert there.new_run("predict").name == "002-predict" and run.name == "001-fit-head"


def test_what_is_removed_is_gone_everywhere(address: str, machine: Machine) -> None:
    key, row = rows(10)
    here = Workspace.locate(address)
    store = here.store(SPACE)
    store.add(key, row)
    here.save_manifest("flowers", a_manifest(key))
    machine("two")
    assert Workspace.locate(address).store(SPACE).contains(key).all()
    machine("one")
    here = Workspace.locate(address)
    here.forget_manifest("flowers")
    here.store(SPACE).remove(here.store(SPACE).shards()[0])
    machine("two")
    there = Workspace.locate(address)
    assert there.datasets() == [] and not there.store(SPACE).contains(key).any()
    assert not list(there.root.rglob("*-*.h5"))


def test_a_shard_is_one_object_written_at_once(address: str, s3: Server, machine: Machine) -> None:
    space = Workspace.locate(address).store(SPACE)
    s3.asked.clear()
    space.add(*rows(100))
    writes = [(method, path) for method, path in s3.asked if method not in ("GET", "HEAD")]
    assert len(writes) == 1 and "/shards/" in writes[0][1] and writes[0][0] == "PUT"


def test_a_shard_that_cannot_be_written_is_told_and_nothing_is_left(
    address: str,
    s3: Server,
    machine: Machine,
) -> None:
    space = Workspace.locate(address).store(SPACE)
    s3.fails(lambda handler, method, path: method == "PUT" and handler.refuse(503, SLOW_DOWN))
    with pytest.raises(UserError, match=r"to answer, but: 503 .*SlowDown"):
        space.add(*rows(10))
    s3.fails(None)
    assert space.paths() == [] and not list(Objects(address).list(f"spaces/{SPACE.id}/shards"))


def large(address: str) -> tuple[Store, np.ndarray, np.ndarray]:
    """A store of one shard that is no small one, as another machine sees it."""
    key, row = rows(4_000, width=400)
    Workspace.locate(address).store(SPACE).add(key, row)
    return Workspace.locate(address).store(SPACE), key, row


def fetched(server: Server) -> list[str]:
    return [path for method, path in server.asked if method == "GET" and "/shards/" in path]


def test_few_rows_come_by_ranges_and_many_as_a_copy(address: str, s3: Server, machine: Machine) -> None:
    large(address)
    machine("two")
    space, key, row = Workspace.locate(address).store(SPACE), *rows(4_000, width=400)
    (path,) = space.paths()
    assert np.array_equal(space.gather(key[5:6]), row[5:6])
    assert not path.exists() and fetched(s3)
    assert np.array_equal(space.gather(key), row)
    assert path.exists()
    s3.asked.clear()
    assert np.array_equal(Workspace.locate(address).store(SPACE).gather(key), row)
    assert not fetched(s3)


def test_copies_are_bounded(
    address: str,
    s3: Server,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(copies.LIMIT, "0.01")
    space = Workspace.locate(address).store(SPACE)
    parts = [rows(4_000, seed, 400) for seed in range(3)]  # 6.4 MB each
    for part in parts:
        space.add(*part)
    assert [path.exists() for path in space.paths()] == [True, False, False]
    key, row = (np.concatenate(each) for each in zip(*parts, strict=True))
    assert np.array_equal(space.gather(key), row)
    assert sum(path.exists() for path in space.paths()) == 1
    monkeypatch.setenv(copies.LIMIT, "0")
    machine("two")
    space = Workspace.locate(address).store(SPACE)
    assert np.array_equal(space.gather(key), row) and not any(path.exists() for path in space.paths())


def test_a_full_disk_leaves_rows_in_the_store(
    address: str,
    s3: Server,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large(address)
    machine("two")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 0))  # type: ignore[attr-defined]
    space, key, row = Workspace.locate(address).store(SPACE), *rows(4_000, width=400)
    assert np.array_equal(space.gather(key), row) and not space.paths()[0].exists()


def test_a_full_disk_is_told_where_a_copy_must_be(
    address: str,
    s3: Server,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Workspace.locate(address).save_manifest("flowers", a_manifest(rows(4)[0]))
    machine("two")

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        UserError, match=r"Could not keep a copy .*: No space left on device.* COLDFRAME_CACHE"
    ):
        Workspace.locate(address)


def test_a_damaged_object_is_set_aside(address: str, s3: Server, machine: Machine) -> None:
    key, row = rows(100)
    path = Workspace.locate(address).store(SPACE).add(key, row)
    name = f"spaces/{SPACE.id}/shards/{path.name}"
    objects = Objects(address)
    data = bytearray(objects.get(name)[0])
    data[-40] ^= 1
    objects.put(name, bytes(data))
    machine("two")
    space = Workspace.locate(address).store(SPACE)
    with pytest.warns(UserWarning, match="Damaged shard"):
        assert not space.contains(key).any()
    assert [found.path.split("/")[2] for found in objects.list(f"spaces/{SPACE.id}")].count("damaged") == 1
    assert not list(objects.list(f"spaces/{SPACE.id}/shards"))


def test_a_server_that_fails_damages_nothing(address: str, s3: Server, machine: Machine) -> None:
    large(address)
    machine("two")
    space, key, row = Workspace.locate(address).store(SPACE), *rows(4_000, width=400)
    s3.fails(lambda handler, method, path: "/shards/" in path and handler.refuse(503, SLOW_DOWN))
    with pytest.raises(UserError, match="503"):
        space.contains(key)
    s3.fails(None)
    assert space.contains(key).all() and np.array_equal(space.gather(key[:3]), row[:3])


def test_states_of_machines_that_remember_at_once_are_merged(
    address: str, machine: Machine, tmp_path: Path
) -> None:
    one = Workspace.locate(address).create()
    other = mirror.Mirror(address, tmp_path / "other")
    mirror._mirrors[tmp_path / "other"] = other
    two = Workspace(tmp_path / "other")
    other.pull()

    def remember(workspace: Workspace, name: str) -> None:
        for number in range(5):
            workspace.remember(runs={f"{name}{number}": {"path": name}})

    threads = [threading.Thread(target=remember, args=pair) for pair in ((one, "a"), (two, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.pull()
    assert len(two.state()["runs"]) == 10


def test_the_lock_of_who_died_is_taken(
    address: str,
    s3: Server,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Workspace.locate(address).create().root
    Objects(address).put(".lock", b"of a machine that is gone")
    monkeypatch.setattr(mirror, "LEASE", 0.3)
    with locked(root):
        pass
    assert not [found for found in Objects(address).list() if found.path.endswith(".lock")]


def test_in_memory_it_ends_with_the_process(machine: Machine) -> None:
    key, row = rows(10)
    Workspace.locate("memory://place/cache").store(SPACE).add(key, row)
    found = Workspace.locate("memory://place/cache").spaces()
    assert len(found) == 1 and np.array_equal(found[0].gather(key), row)


def test_what_another_process_writes_meanwhile_is_found(
    address: str, machine: Machine, tmp_path: Path
) -> None:
    here = Workspace.locate(address)
    store, (key, row) = here.store(SPACE), rows(10)
    other = mirror.Mirror(address, tmp_path / "other")
    other.pull()
    mirror._mirrors[tmp_path / "other"] = other
    there = Workspace(tmp_path / "other")
    there.remember(dataset="flowers")
    there.store(SPACE).add(key, row)
    assert here.state() == {"dataset": "flowers"}  # not in the listing, and asked for
    assert not store.contains(key).any()  # as of the listing
    mirror._mirrors[here.root].pull()
    assert store.contains(key).all()
