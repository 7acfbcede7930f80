from dataclasses import replace

import h5py
import numpy as np
import pytest

from cache.errors import UserError
from cache.manifest import SPLITS, Manifest, Outline
from cache.storage.hdf5 import write_arrays

COLUMNS = ("label", "split", "key", "size", "mtime_ns")


@pytest.fixture
def manifest():
    paths = [
        "a/1.jpg",
        "line\nbreak\r\n\t.jpg",
        b"caf\xe9 \xff.jpg".decode("utf-8", "surrogateescape"),
        "花/ü.png",
        "é",
    ]
    key = np.random.default_rng(0).integers(1, 256, (5, 32), dtype=np.uint8)
    key[3] = 0
    return Manifest(
        "/data/fl\nowers \udcff",
        ("rose", "tulipe à fleurs", ""),
        paths,
        np.array([0, 1, 2, -1, 0], np.int32),
        np.array([0, 1, 2, 3, 0], np.uint8),
        key,
        np.array([1, 2**40, 0, 5, 5], np.int64),
        np.array([1, -5, 2**62, 0, 0], np.int64),
    )


def same(one, two):
    return (one.root, one.classes, one.paths) == (two.root, two.classes, two.paths) and all(
        np.array_equal(getattr(one, c), getattr(two, c)) and getattr(one, c).dtype == getattr(two, c).dtype
        for c in COLUMNS
    )


def test_round_trip_of_any_name(tmp_path, manifest):
    manifest.save(tmp_path / "m.h5")
    assert same(Manifest.load(tmp_path / "m.h5"), manifest)
    assert [path.name for path in tmp_path.iterdir()] == ["m.h5"]


def test_empty(tmp_path, manifest):
    empty = manifest.select(np.zeros(5, bool))
    empty.save(tmp_path / "m.h5")
    assert same(Manifest.load(tmp_path / "m.h5"), empty)
    assert not empty.conflicts().size


def test_any_hdf5_tool_can_read_the_table(tmp_path, manifest):
    manifest.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r") as file:
        start, end = file["path_offset"][1:3]
        assert file["path_bytes"][start:end].tobytes() == b"line\nbreak\r\n\t.jpg"


def test_a_manifest_of_lists_as_it_was_written_before_is_read(tmp_path, manifest):
    def packed(name, texts):
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        offset = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
        return {f"{name}_bytes": np.frombuffer(b"".join(encoded), np.uint8), f"{name}_offset": offset}

    paths = list(manifest.paths)
    arrays = {name: getattr(manifest, name) for name in COLUMNS} | packed("root", [manifest.root])
    arrays |= packed("classes", manifest.classes) | packed("path", paths)
    write_arrays(tmp_path / "old.h5", 1, arrays)
    manifest.save(tmp_path / "new.h5")
    assert (tmp_path / "old.h5").read_bytes() == (tmp_path / "new.h5").read_bytes()
    found = Manifest.load(tmp_path / "old.h5")
    assert same(found, manifest) and list(found.paths) == paths and found.paths[3] == paths[3]


def test_hashed_and_select(manifest):
    assert manifest.hashed.tolist() == [True, True, True, False, True]
    assert manifest.select(manifest.hashed).paths == [p for i, p in enumerate(manifest.paths) if i != 3]
    chosen = manifest.select(np.array([4, 0, 0]))
    assert chosen.paths == ["é", "a/1.jpg", "a/1.jpg"]
    assert chosen.label.tolist() == [0, 0, 0]
    assert np.array_equal(chosen.key, manifest.key[[4, 0, 0]])
    assert chosen.classes == manifest.classes


def test_conflicts_are_one_picture_under_two_labels():
    keys = np.zeros((9, 32), np.uint8)
    keys[:, 0] = [1, 1, 2, 2, 3, 3, 0, 0, 4]
    label = np.array([0, 1, 1, 1, 2, -1, 0, 1, 2], np.int32)
    zeros = np.zeros(9, np.int64)
    manifest = Manifest(
        "/", ("a", "b", "c"), list("123456789"), label, zeros.astype("u1"), keys, zeros, zeros
    )
    # rows 6 and 7 are not hashed, row 5 has no label
    assert manifest.conflicts().tolist() == [True, True] + [False] * 7


def test_splits():
    assert SPLITS == ("", "train", "val", "test")


def test_newer_format_is_refused(tmp_path, manifest):
    manifest.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        file.attrs["format"] = 2
    with pytest.raises(UserError, match=r"format 1, received 2.*Update this one"):
        Manifest.load(tmp_path / "m.h5")


def test_damage_says_that_nothing_is_computed_again(tmp_path, manifest):
    path = tmp_path / "m.h5"
    manifest.save(path)
    whole = path.read_bytes()
    for data in (b"", b"text" * 999, whole[:-1], whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(UserError, match="no embedding is computed again"):
            Manifest.load(path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["embedding"] = [1.0]
    with pytest.raises(UserError, match="Delete it"):
        Manifest.load(tmp_path / "other.h5")


def test_a_single_changed_label_is_noticed(tmp_path, manifest):
    manifest.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        file["label"][0] = 1
    with pytest.raises(UserError, match="SHA-256"):
        Manifest.load(tmp_path / "m.h5")


def test_columns_of_another_length_are_refused(tmp_path, manifest):
    manifest.size = manifest.size[:2]
    manifest.save(tmp_path / "m.h5")
    with pytest.raises(UserError, match="5 paths with columns"):
        Manifest.load(tmp_path / "m.h5")


@pytest.fixture
def table(manifest):
    manifest.table = "labels \udcff.csv"
    manifest.columns = {"group": list("aabbc"), "a/b ü": ["", "line\nbreak", "花", "", "x"], "": [""] * 5}
    return manifest


def test_columns_of_any_name_survive(tmp_path, table):
    table.save(tmp_path / "m.h5")
    again = Manifest.load(tmp_path / "m.h5")
    assert same(again, table)
    assert list(again.columns.items()) == list(table.columns.items())
    assert again.table == table.table


def test_select_keeps_columns_in_step(table):
    chosen = table.select(np.array([4, 0, 0]))
    assert chosen.columns == {"group": ["c", "a", "a"], "a/b ü": ["x", "", ""], "": [""] * 3}
    assert chosen.table == table.table
    assert table.select(np.array([], int)).columns == {"group": [], "a/b ü": [], "": []}


def test_without_columns_the_file_is_as_it_always_was(tmp_path, manifest):
    manifest.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r") as file:
        texts = {f"{name}_{part}" for name in ("root", "classes", "path") for part in ("bytes", "offset")}
        assert set(file) == {*COLUMNS, *texts}
    again = Manifest.load(tmp_path / "m.h5")
    assert again.columns == {} and again.table == ""


def test_a_column_of_another_length_is_refused(tmp_path, table):
    table.columns["group"].pop()
    table.save(tmp_path / "m.h5")
    with pytest.raises(UserError, match=r"number of values in \['group'\]"):
        Manifest.load(tmp_path / "m.h5")


def test_a_frame_has_a_row_a_sample(manifest):
    frame = replace(
        manifest, columns={"size": list("12345"), "size_": ["é"] * 5, "seen": [""] * 5}
    ).to_frame()
    assert frame.dtypes.astype(str).to_dict() == {
        "path": "object",
        "label": "category",
        "split": "category",
        "key": "object",
        "size": "int64",
        "mtime": "datetime64[ns, UTC]",
        "size_": "object",
        "size__": "object",
        "seen": "object",
    }
    assert frame["path"].tolist() == manifest.paths
    assert list(frame["label"].cat.categories) == list(manifest.classes)
    assert frame["label"][1] == "tulipe à fleurs" and frame["label"].isna().tolist() == [0, 0, 0, 1, 0]
    assert frame["split"].fillna("test").tolist() == ["test", "train", "val", "test", "test"]
    assert frame["split"].isna().sum() == 2 and list(frame["split"].cat.categories) == list(SPLITS[1:])
    assert frame["key"][0] == manifest.key[0].tobytes().hex() and set(frame["key"][3]) == {"0"}
    assert frame["size"][1] == 2**40 and frame["mtime"][0].value == 1
    assert frame["size_"][4] == "5" and frame["seen"].tolist() == [""] * 5


def test_an_empty_frame_has_the_same_columns(manifest):
    whole, empty = manifest.to_frame(), manifest.select(np.zeros(5, bool)).to_frame()
    assert len(empty) == 0 and (empty.dtypes == whole.dtypes).all()


def test_the_outline_is_read_without_the_rest(tmp_path, manifest):
    path = tmp_path / "m.h5"
    manifest.save(path)
    with h5py.File(path, "r+") as file:
        file["key"][0] = 0  # what is not read is not checked
    assert Outline.load(path) == Outline(manifest.root, 3, 5)
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = 2
    with pytest.raises(UserError, match=r"format 1, received 2.*Update this one"):
        Outline.load(path)
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(UserError, match=r"Expected a manifest in .*m.h5.*Delete it"):
        Outline.load(path)
