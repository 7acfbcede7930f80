import dataclasses
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.commands.ls import list_workspace
from cache.dataset import Block
from cache.errors import UserError
from cache.manifest import Manifest
from cache.storage.rejects import Reject
from cache.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / ".coldframe")


@pytest.fixture
def manifest(sample):
    keys, _ = sample(10)
    n = np.arange(10)
    return Manifest(
        "/data", ("a", "b"), [f"{i}.jpg" for i in n], (n % 2).astype("i4"), np.zeros(10, "u1"), keys, n, n
    )


def test_locate_prefers_the_option_then_the_variable_then_this_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLDFRAME_WORKSPACE", raising=False)
    assert Workspace.locate().root == tmp_path / ".coldframe"
    monkeypatch.setenv("COLDFRAME_WORKSPACE", "shared")
    assert Workspace.locate().root == tmp_path / "shared"
    assert Workspace.locate("/mine").root == Path("/mine")
    assert not list(tmp_path.iterdir())


def test_create(workspace):
    assert not workspace.exists
    workspace.create().create()
    assert workspace.exists
    assert json.loads((workspace.root / "FORMAT.json").read_text()) == {"format": 1}


def test_newer_format_is_refused_by_every_way_in(workspace, space, manifest):
    workspace.save_manifest("flowers", manifest)
    (workspace.root / "FORMAT.json").write_text('{"format": 2}')
    for enter in (
        workspace.create,
        workspace.state,
        workspace.spaces,
        workspace.datasets,
        workspace.load,
        lambda: workspace.store(space),
        lambda: workspace.manifest("flowers"),
        lambda: workspace.save_manifest("flowers", manifest),
        lambda: workspace.remember(a=1),
    ):
        with pytest.raises(UserError, match=r"format 1, received 2.*Update this one"):
            enter()


@pytest.mark.parametrize("name", ["FORMAT.json", "current.json"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_something_else_in_the_place_of_a_file(workspace, name, make):
    workspace.create()
    (workspace.root / name).unlink(missing_ok=True)
    make(workspace.root / name)
    with pytest.raises(UserError, match=f"{name}.*, but: .*regular file"):
        workspace.state()


def test_a_path_that_is_too_long(tmp_path):
    workspace = Workspace(tmp_path / ("w" * 300))
    for ask in (workspace.state, workspace.spaces, workspace.create):
        with pytest.raises(
            UserError, match=r"(File name too long|longer than this system allows).*--workspace"
        ):
            ask()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "1", "\x00", "[" * 10_000, '{"format": "1"}', '{"format": []}']
)
def test_damaged_format_file(workspace, text):
    workspace.create()
    (workspace.root / "FORMAT.json").write_text(text)
    with pytest.raises(UserError, match="Restore it"):
        workspace.spaces()


def test_runs_lie_beside_a_hidden_workspace_and_inside_a_named_one(tmp_path):
    assert Workspace(tmp_path / ".coldframe").runs == tmp_path / "runs"
    assert Workspace(tmp_path / "shared").runs == tmp_path / "shared" / "runs"


def test_state_merges(workspace):
    assert workspace.state() == {}
    workspace.remember(dataset="flowers", space="ab")
    workspace.remember(space="cd", run={"path": "001-extract"})
    assert workspace.state() == {"dataset": "flowers", "space": "cd", "run": {"path": "001-extract"}}
    sealed = (workspace.root / "current.json").read_text()
    wrong = (
        '{"dataset": 1}',
        '{"run": []}',
        '{"run": {"path": {}}}',
        '{"run": {"cv_accuracy": "high"}}',
        '{"runs": {"d": 1}}',
        '{"run": {"space": "a"}}',
    )
    for text in ("", "[1]", "[" * 10_000, *wrong, sealed.replace("flowers", "flawers")):
        (workspace.root / "current.json").write_text(text)
        with pytest.raises(UserError, match="Delete it"):
            workspace.state()


def test_processes_remember_and_number_runs_without_losing_any(workspace, child):
    workspace.create()
    code = """
import sys
from pathlib import Path
from cache.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
for number in range(15):
    workspace.remember(**{f"{sys.argv[2]}{number}": number})
for number in range(50):
    workspace.new_run(sys.argv[2])
"""
    processes = [child(code, workspace.root, name) for name in "abc"]
    assert [process.communicate()[1] for process in processes] == ["", "", ""]
    assert len(workspace.state()) == 45
    numbers = sorted(path.name.split("-")[0] for path in workspace.runs.iterdir())
    assert numbers == [f"{number:03d}" for number in range(1, 151)]


def test_new_run_takes_the_number_after_the_highest(workspace):
    assert workspace.new_run("extract") == workspace.runs / "001-extract"
    for name in ("998-x", "999-fit-head", "notes", "7"):
        (workspace.runs / name).mkdir()
    assert workspace.new_run("fit-head").name == "1000-fit-head"
    assert workspace.new_run("fit-head").is_dir()


def test_stores_are_found_by_a_unique_prefix(workspace, space):
    other = dataclasses.replace(space, backbone="huge")
    workspace.store(space)
    again = workspace.store(space)
    workspace.store(other)
    assert (again.folder / "space.json").read_text() == space.to_json()
    assert [store.space for store in workspace.spaces()] == sorted([space, other], key=lambda s: s.id)
    assert workspace.store_by_id(other.id[:8].upper()).space == other
    assert workspace.store_by_id(space.id).space == space
    for prefix in ("", space.id[:3], "zzzz", "../.."):
        with pytest.raises(UserError, match=f"Known: .*{space.id[:12]} .tiny.") as error:
            workspace.store_by_id(prefix)
        assert other.id[:12] in str(error.value)


def test_a_half_made_space_is_not_there(workspace, space):
    (workspace.root / "spaces" / space.id).mkdir(parents=True)
    (workspace.root / "spaces" / "notes").mkdir()
    assert workspace.spaces() == []
    with pytest.raises(UserError, match=r"none yet: run `python cli.py extract"):
        workspace.store_by_id("abcd")
    assert workspace.store(space).space == space
    assert len(workspace.spaces()) == 1


def test_a_space_that_does_not_hash_to_its_folder_is_refused(workspace, space):
    folder = workspace.store(space).folder
    (folder / "space.json").write_text(space.to_json().replace("tiny", "huge"))
    for enter in (workspace.spaces, lambda: workspace.store(space)):
        with pytest.raises(UserError, match="hash to its folder's name"):
            enter()


@pytest.mark.parametrize(
    "name", ["flowers", "a/b", "../up", ".", "..", ".tmp-x", "100%", "caf\udce9", "花 ü", "a\nb", "con:x*?"]
)
def test_any_data_set_name_is_one_file(workspace, manifest, name):
    workspace.save_manifest(name, manifest)
    assert workspace.datasets() == [name]
    assert workspace.manifest(name).paths == manifest.paths
    (path,) = (workspace.root / "manifests").iterdir()
    assert not path.name.startswith(".")
    assert {p.name for p in workspace.root.parent.iterdir()} == {".coldframe"}


def test_unknown_data_set_lists_the_known(workspace, manifest):
    with pytest.raises(UserError, match="none yet"):
        workspace.manifest("roses")
    workspace.save_manifest("tulips", manifest)
    workspace.save_manifest("daisies", manifest)
    with pytest.raises(UserError, match=r"received 'roses'. Known: daisies, tulips"):
        workspace.manifest("roses")
    with pytest.raises(UserError, match="--name"):
        workspace.save_manifest("", manifest)


def test_forgetting_a_manifest_keeps_the_others(workspace, manifest):
    workspace.save_manifest("tulips", manifest)
    workspace.save_manifest("daisies", manifest)
    workspace.forget_manifest("tulips")
    workspace.forget_manifest("tulips")
    assert workspace.datasets() == ["daisies"]


def test_load_before_anything_was_extracted_names_the_command(workspace, tmp_path):
    with pytest.raises(UserError, match=r"nothing was extracted yet. Run `python cli.py extract FOLDER/`"):
        workspace.load()
    assert not list(tmp_path.iterdir())


def test_where_nothing_was_used_last_the_choices_are_named(workspace, space, manifest, sample):
    others = [replace(space, view="flip:0"), replace(space, pooling="layer:top_conv")]
    for each in (space, *others):
        workspace.store(each).add(*sample(10))
    workspace.save_manifest("one class", replace(manifest, label=np.zeros(10, "i4")))
    alone = f"--space {space.id[:12]} ({space.backbone})"
    with pytest.raises(UserError, match=re.escape(f"Choose --dataset 'one class' and {alone}, or run")):
        workspace.load()
    workspace.save_manifest("flowers", manifest)
    with pytest.raises(
        UserError, match=re.escape(f"--dataset flowers or --dataset 'one class' and {alone}, or")
    ):
        workspace.load()
    with pytest.raises(UserError, match=re.escape(f"Choose {alone}, or run")):
        workspace.load("flowers")
    for name in "abc":
        workspace.save_manifest(name, manifest)
    with pytest.raises(UserError, match="--dataset c or others that `cache ls` lists and --space"):
        workspace.load()
    assert len(workspace.load("one class", space.id[:12]).manifest) == 10


def test_load_keeps_the_rows_that_have_an_embedding(workspace, space, manifest, sample):
    store = workspace.store(space)
    workspace.save_manifest("flowers", manifest)
    workspace.remember(dataset="flowers", space=space.id)
    with pytest.raises(UserError, match="found none for its 10 pictures"):
        workspace.load()
    keys, rows = sample(10)
    manifest.key[9] = 0  # not hashed yet
    workspace.save_manifest("flowers", manifest)
    store.add(keys[2:][::-1], rows[2:][::-1])
    data = workspace.load()
    assert (data.name, data.space, data.missing, len(data.manifest)) == ("flowers", space, 3, 7)
    assert data.manifest.paths == manifest.paths[2:9]
    assert np.array_equal(data.embedding, rows[2:9])
    assert data.embedding is data.embedding
    assert len(workspace.load("flowers", space.id[:6]).manifest) == 7
    with pytest.raises(UserError, match="Known: flowers"):
        workspace.load("roses")


def test_nothing_is_read_before_it_is_asked_for(workspace, space, manifest, sample, monkeypatch):
    store = workspace.store(space)
    store.add(*sample(10))
    workspace.save_manifest("flowers", manifest)
    workspace.remember(dataset="flowers", space=space.id)
    reads = []
    real = type(store).gather
    monkeypatch.setattr(
        type(store), "gather", lambda self, *asked: reads.append(len(asked[0])) or real(self, *asked)
    )
    data = workspace.load()
    assert reads == []
    assert data.embedding.shape == (10, 5)
    assert reads == [10]


@pytest.fixture
def two(workspace, space, manifest, sample):
    """Return a workspace with ten pictures in two spaces, of widths 5 and 3; the second lacks two of them."""
    other = replace(space, backbone="small", pooling="max")
    keys, rows = sample(10)
    narrow = sample(10, seed=1, width=3)[1]
    workspace.save_manifest("flowers", manifest)
    workspace.store(space).add(keys, rows)
    workspace.store(other).add(keys[2:], narrow[2:])
    workspace.remember(dataset="flowers", space=f"{space.id},{other.id}")
    return workspace, (space, other), (rows, narrow)


def test_several_spaces_side_by_side(two):
    workspace, (space, other), (rows, narrow) = two
    data = workspace.load()
    assert data.spaces == (space, other)
    assert (data.space, data.store.space) == (space, space)
    assert [store.space for store in data.stores] == [space, other]
    assert np.array_equal(data.embedding, np.hstack([rows, narrow])[2:])
    assert data.blocks == (Block(space, "", 0, 5), Block(other, "", 5, 8))
    assert (data.missing, data.refused, data.lacking) == (2, 0, (0, 2))
    turned = workspace.load(space=f"{other.id[:8]}, {space.id[:8]}")
    assert turned.spaces == (other, space)
    assert np.array_equal(turned.embedding, np.hstack([narrow, rows])[2:])


def test_one_space_is_one_block(two):
    workspace, (space, _), (rows, _) = two
    data = workspace.load(space=space.id)
    assert np.array_equal(data.embedding, rows)
    assert data.blocks == (Block(space, "", 0, 5),)
    assert workspace.load(space=f"{space.id[:6]},{space.id[:9]}").spaces == (space,)  # the same one twice


def test_a_rejected_picture_is_not_one_that_is_lacking(two, sample):
    workspace, (_, other), _ = two
    key = sample(10)[0][0].tobytes()
    workspace.store(other).add_rejects([Reject(key, "a.jpg", "damaged", "fake")])
    data = workspace.load()
    assert (data.missing, data.refused, data.lacking) == (2, 1, (0, 1))


def test_a_space_without_the_data_set_names_the_command(two, sample):
    workspace, (space, other), _ = two
    third = replace(space, backbone="third", precision="int8 x")
    with pytest.raises(UserError, match="only one space starts with, received '0123'"):
        workspace.load(space=f"{space.id},0123")
    keys, rows = sample(3, seed=7)
    workspace.store(third).add(keys, rows)  # of another data set
    with pytest.raises(
        UserError,
        match=r"\(third\), found none .* extract \S+ --backbone third --pooling avg --precision int8`",
    ):
        workspace.load(space=f"{space.id},{third.id}")
    keys, rows = sample(10)
    workspace.store(third).add(keys[:2], rows[:2])
    with pytest.raises(
        UserError, match=r"in each of 2 spaces, found none.*--backbone small --pooling max` and `"
    ):
        workspace.load(space=f"{other.id},{third.id}")


def test_what_needs_one_space_refuses_several(two):
    workspace, (space, other), _ = two
    assert workspace.load(space=space.id).alone().space == space
    with pytest.raises(
        UserError, match=rf"one space, received 2: {space.id[:12]} \(tiny\), .*small.*--space"
    ):
        workspace.load().alone()
    listed = {each["backbone"]: each["current"] for each in list_workspace(workspace)["spaces"]}
    assert listed == {"tiny": True, "small": True}
    workspace.remember(space=other.id)
    assert [each["backbone"] for each in list_workspace(workspace)["spaces"] if each["current"]] == ["small"]


def test_the_top_is_what_a_row_is_without_its_stages(workspace, space, manifest, sample):
    staged, second = replace(space, pooling="stages:2+3"), replace(space, pooling="stages:4+1")
    keys, rows = sample(10)
    for each in (staged, second):
        workspace.store(each).add(keys, rows)
    workspace.save_manifest("flowers", manifest)
    data = workspace.load("flowers", f"{staged.id},{second.id}")
    assert [(each.part, each.start, each.stop) for each in data.blocks] == [
        ("stage1", 0, 2),
        ("top", 2, 5),
        ("stage1", 5, 9),
        ("top", 9, 10),
    ]
    assert data.top == slice(2, 5)
    assert data.within([second]).blocks[0] == Block(second, "stage1", 0, 4)
    assert data.within([staged, second]) is data
    assert workspace.load("flowers", space=second.id).top == slice(4, 5)
