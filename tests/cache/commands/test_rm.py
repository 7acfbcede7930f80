import os
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import cache.commands.rm
from cache.commands.gc import collect
from cache.commands.options import RemoveOptions
from cache.commands.rm import remove, run
from cache.commands.verify import verify
from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.json_file import write_json
from cache.text import sized
from cache.workspace import Workspace
from extract.sources.source import open_source


def manifest(keys, root="/pictures"):
    n = len(keys)
    zeros = np.zeros(n, np.int64)
    names = [f"rose/{i}.jpg" for i in range(n)]
    return Manifest(str(root), ("rose",), names, zeros.astype("i4"), zeros.astype("u1"), keys, zeros, zeros)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / ".coldframe").create()


@pytest.fixture
def garden(workspace, space, sample):
    """Two data sets of 30 pictures that share 10, in a space, in a layer's space, and as thumbnails."""
    keys, rows = sample(50)
    store = workspace.store(space)
    layer = workspace.store(replace(space, pooling="layer:top", view="light/1"))
    thumbnails = workspace.thumbnails(replace(space, backbone="thumbnail")).create()
    for each in (store, layer, thumbnails):
        for part in (slice(0, 15), slice(15, 40), slice(40, 50)):
            each.add(keys[part], rows[part])
    workspace.save_manifest("roses", manifest(keys[:30]))
    workspace.save_manifest("bees", manifest(keys[20:]))
    workspace.remember(dataset="roses", space=space.id)
    return store, layer, thumbnails, keys, rows


def best(workspace, store):
    folder = workspace.new_run("fit-head")
    write_json(folder / "run.json", {})
    entry = {"path": folder.name, "dataset": "roses", "space": store.space.id}
    workspace.remember(run=entry, runs={"roses": entry})
    return folder


def test_a_space_goes_and_is_no_longer_the_current_one(workspace, garden):
    store, layer, thumbnails, *_ = garden
    size = sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file())
    result = remove(workspace, [store.space.id[:6]])
    assert [each.space for each in workspace.spaces()] == [layer.space]
    assert (result.freed[0].rows, result.bytes) == (50, size)
    assert (
        f"removed space {store.space.id[:12]} (tiny, avg): 50 rows, {sized(size)} freed" == result.to_text()
    )
    assert "--space ID" in result.notes[0] and "--dataset" not in result.notes[0]
    assert workspace.state() == {"dataset": "roses", "space": None}
    assert len(thumbnails) == 50 and workspace.datasets() == ["bees", "roses"]
    with pytest.raises(UserError, match=r"used last in .*, found none.*Choose --space [0-9a-f]{12} \(tiny\)"):
        workspace.load()
    assert os.listdir(workspace.root / "spaces") == [layer.space.id]


def test_activations_are_the_spaces_of_layers(workspace, garden):
    store, layer, *_ = garden
    result = remove(workspace, activations=True)
    assert [each.to_json()["name"] for each in result.freed] == [layer.space.id[:12]]
    assert "layer:top, light/1" in result.to_text() and not result.notes
    assert [each.space for each in workspace.spaces()] == [store.space]
    assert remove(workspace, activations=True).to_text() == "nothing to remove: no space holds activations"


def test_a_data_set_takes_what_no_other_holds(workspace, garden):
    *stores, keys, rows = garden
    (workspace.root / "splits").mkdir()
    result = remove(workspace, dataset="roses")
    assert workspace.datasets() == ["bees"] and workspace.state()["dataset"] is None
    for store in stores:
        assert store.contains(keys).tolist() == [False] * 20 + [True] * 30
        assert np.array_equal(store.gather(keys[20:]), rows[20:].astype(store.space.dtype))
        assert verify(store) == []
    assert [path.name.split("-")[0] for path in stores[0].paths()] == sorted(
        (path.name.split("-")[0] for path in stores[0].paths()), reverse=True
    )
    assert result.freed[0].rows == 40 and result.bytes > 3 * 20 * (32 + 20)
    assert result.to_text().startswith("removed data set roses (30 pictures): 40 rows, ")
    assert any("10 pictures are in other data sets" in note for note in result.notes)
    assert any("keep their part" in note for note in result.notes)
    assert (workspace.root / "splits").is_dir()


def test_rows_of_deleted_pictures_and_newer_rows_keep_their_place(workspace, space, sample):
    keys, rows = sample(30)
    store = workspace.store(space)
    store.add(keys, rows)
    store.add(keys[:20], rows[:20] + 1)  # the newer ones count
    workspace.save_manifest("roses", manifest(keys[:5]))
    remove(workspace, dataset="roses")
    expected = np.concatenate([rows[5:20] + 1, rows[20:]])
    assert np.array_equal(store.gather(keys[5:]), expected) and not store.contains(keys[:5]).any()


def test_what_the_best_run_answers_in_stays_without_force(workspace, garden):
    store, *_ = garden
    folder = best(workspace, store)
    for arguments in ({"spaces": [store.space.id]}, {"spaces": [store.space.id], "activations": True}):
        with pytest.raises(UserError, match="001-fit-head, the best run of roses, answers in space"):
            remove(workspace, **arguments)
    assert len(workspace.spaces()) == 2 and workspace.state()["space"] == store.space.id
    result = remove(workspace, [store.space.id], force=True)
    assert "001-fit-head" in result.notes[0] and len(workspace.spaces()) == 1
    shutil.rmtree(folder)
    workspace.store(store.space)
    assert remove(workspace, [store.space.id]).freed  # the run is gone


def test_what_is_not_there_is_said_and_nothing_is_deleted(workspace, garden):
    store, *_ = garden
    for options in (
        RemoveOptions(("ffff",), workspace=str(workspace.root)),
        RemoveOptions((store.space.id[:12],), dataset="lilies", workspace=str(workspace.root)),
        RemoveOptions(workspace=str(workspace.root)),
    ):
        with pytest.raises(UserError, match="Expected"):
            run(options, print)
    assert len(workspace.spaces()) == 2 and len(store) == 50


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", ["_discard", "seal", "removed", "forget"])
def test_after_a_kill_the_same_command_goes_on(workspace, garden, monkeypatch, at):
    *stores, keys, rows = garden

    def dies(*_, **__):
        raise Killed

    place = {"removed": (type(stores[0]), "remove"), "forget": (Workspace, "forget_manifest")}
    spaces = [stores[0].space.id] if at == "_discard" else []
    with monkeypatch.context() as patch, pytest.raises(Killed):
        owner, name = place.get(at, (cache.commands.rm, at))
        if at == "_discard":  # while files go, under a hidden name already
            owner, name = cache.commands.rm.shutil, "rmtree"
        patch.setattr(owner, name, dies)
        remove(workspace, spaces, None if spaces else "roses")
    whole = [store for store in stores if store.folder.exists()]
    assert len(whole) == (2 if spaces else 3) and all(verify(store) == [] for store in whole)
    for store in whole:
        assert np.array_equal(store.gather(keys[20:]), rows[20:].astype(store.space.dtype))
    assert "roses" in workspace.datasets()
    remove(workspace, dataset="roses")
    assert workspace.datasets() == ["bees"]
    assert not any(store.contains(keys[:20]).any() for store in whole)


def test_what_gc_and_extract_do_meanwhile_is_seen(workspace, garden, sample, monkeypatch):
    store, *_, keys, rows = garden
    new_keys, new_rows = sample(4, seed=1)
    seal, done = cache.commands.rm.seal, []

    def meanwhile(*arguments, **options):
        if not done:
            done.append(collect(type(store).open(store.folder)))
            type(store).open(store.folder).add(new_keys, new_rows)
        return seal(*arguments, **options)

    monkeypatch.setattr(cache.commands.rm, "seal", meanwhile)
    remove(workspace, dataset="roses")
    assert done[0].merged == 3
    assert not store.contains(keys[:20]).any()
    assert np.array_equal(store.gather(keys[20:]), rows[20:])
    assert np.array_equal(store.gather(new_keys), new_rows)


def test_a_space_that_somebody_is_adding_to_is_made_anew(workspace, garden):
    store, *_, keys, rows = garden
    remove(workspace, [store.space.id])
    store.add(keys[:3], rows[:3])
    (again,) = [each for each in workspace.spaces() if each.space == store.space]
    assert again.contains(keys).sum() == 3


def test_damage_gets_no_good_hash(workspace, garden):
    store, *_, keys, _ = garden
    broken = store.shards()[1]  # rows 15 to 39, of which 5 go
    data = bytearray(broken.path.read_bytes())
    data[broken._rows_at + 200] ^= 4
    broken.path.chmod(0o644)
    broken.path.write_bytes(data)
    with pytest.warns(UserWarning, match="Damaged shard"):
        remove(workspace, dataset="roses")
    assert store.contains(keys).tolist() == [False] * 40 + [True] * 10


def test_unpacked_pictures_go_while_their_archive_is_there(workspace, tmp_path, sample):
    packed = tmp_path / "roses.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("roses/rose/0.jpg", b"\xff\xd8\xff picture" * 999)
    source = open_source(workspace, packed)
    sources = workspace.root / "sources"
    workspace.save_manifest("roses", manifest(sample(1)[0], source.path / "roses"))
    workspace.save_manifest("again", manifest(sample(1)[0], source.path))
    remove(workspace, dataset="roses")
    assert source.path.is_dir()  # the other one's, too
    packed.rename(tmp_path / "away.zip")
    with pytest.raises(UserError, match=r"only copy of the pictures of again: .*roses.zip is gone"):
        remove(workspace, dataset="again")
    assert source.path.is_dir() and workspace.datasets() == ["again"]
    assert remove(workspace, dataset="again", force=True).bytes > 9_000
    assert list(sources.iterdir()) == []


def test_a_data_set_outside_loses_no_picture(workspace, tmp_path, sample):
    picture = tmp_path / "pictures" / "rose" / "0.jpg"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"rose")
    (workspace.root / "sources").mkdir()
    for name, root in (("a", tmp_path / "pictures"), ("b", workspace.root / "sources")):
        workspace.save_manifest(name, manifest(sample(1)[0], root))
        remove(workspace, dataset=name)
    assert picture.exists() and (workspace.root / "sources").is_dir()


def test_of_several_current_spaces_the_others_stay_current(workspace, garden):
    store, *_ = garden
    other = workspace.store(replace(store.space, backbone="small"))
    workspace.remember(space=f"{other.space.id},{store.space.id}")
    folder = best(workspace, store)
    entry = {**workspace.state()["run"], "space": f"{other.space.id},{store.space.id}"}
    workspace.remember(run=entry, runs={"roses": entry})
    with pytest.raises(
        UserError, match=f"{folder.name}, the best run of roses, answers in space {other.space.id[:12]}"
    ):
        remove(workspace, [other.space.id])
    assert remove(workspace, [other.space.id], force=True).notes[1:] == []
    assert workspace.state()["space"] == store.space.id
