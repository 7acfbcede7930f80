"""Parquet files that hold the pictures themselves."""

import os
from pathlib import Path

import pytest

from cache.errors import UserError
from cache.manifest import SPLITS
from extract.pictures import files
from extract.pictures.decoding import RejectedImage
from extract.settings import Columns
from extract.sources.source import default_name, scan
from tests.extract.sources.wrappings import Picture, write_hub

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

PICTURES: list[Picture] = [(f"{n}.jpg", bytes([n]) * (n + 1), "cat" if n % 3 else "dog") for n in range(10)]


def labels(found) -> list[str]:  # type: ignore[no-untyped-def]
    return [[*found.manifest.classes, ""][code] for code in found.manifest.label]


def test_rows_are_pictures_with_the_names_of_their_classes(tmp_path: Path) -> None:
    path = write_hub(tmp_path / "pets.parquet", PICTURES, weight=[1.5] * 10, boxes=[[1]] * 10)
    found = scan(path)
    manifest = found.manifest
    assert (manifest.root, manifest.table, default_name(path)) == (str(tmp_path), "pets.parquet", "pets")
    assert labels(found) == [label for _, _, label in PICTURES] and not manifest.split.any()
    assert manifest.paths[3] == "pets.parquet/image/0000003-3.jpg"
    assert manifest.columns == {"weight": ["1.5"] * 10}
    assert [files.reader(manifest)(row) for row in range(10)] == [data for _, data, _ in PICTURES]


def test_a_folder_of_files_has_the_parts_of_their_names(tmp_path: Path) -> None:
    write_hub(tmp_path / "data/train-00000-of-00002.parquet", PICTURES[:4])
    write_hub(tmp_path / "data/train-00001-of-00002.parquet", PICTURES[4:7])
    write_hub(tmp_path / "data/validation-00000-of-00001.parquet", PICTURES[7:])
    (tmp_path / "README.md").write_text("a card")
    found = scan(tmp_path)
    assert [SPLITS[code] for code in found.manifest.split] == ["train"] * 7 + ["val"] * 3
    assert (found.manifest.root, found.manifest.table) == (str(tmp_path), "")
    assert [files.reader(found.manifest)(row) for row in range(10)] == [data for _, data, _ in PICTURES]
    (tmp_path / "data/train/more").mkdir(parents=True)
    (tmp_path / "data/train/more/0.jpg").write_bytes(b"")
    assert "data/train/more/0.jpg" in scan(tmp_path).manifest.paths  # class folders, after all


def test_plain_bytes_texts_and_columns_of_other_names(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    data = [data for _, data, _ in PICTURES]
    names = ["x", "y", None, *"zzzzzzz"]
    pq.write_table(
        pa.table({"jpeg": data, "mask": data, "kind": names, "split": ["test"] + ["train"] * 9}), path
    )
    with pytest.raises(UserError, match=r"one column of picture bytes.*'jpeg', 'mask'.*--path-column"):
        scan(path)
    with pytest.raises(UserError, match=r"column label .*'kind'.*--label-column"):
        scan(path, columns=Columns(path_column="mask"))
    found = scan(path, columns=Columns("mask", "kind"))
    assert labels(found)[:4] == ["x", "y", "", "z"] and "1 rows have no label" in found.notes
    assert [SPLITS[code] for code in found.manifest.split[:2]] == ["test", "train"]
    assert found.manifest.paths[0] == "a.parquet/mask/0000000" and files.reader(found.manifest)(9) == data[9]


def test_keys_are_carried_over_as_long_as_the_file_is_the_same(tmp_path: Path) -> None:
    path = write_hub(tmp_path / "a.parquet", PICTURES)
    before = scan(path).manifest
    for row in range(10):
        contents = files.hashed(files.address(before, row))
        before.key[row], before.size[row] = bytearray(contents.key), contents.size
        assert contents.mtime_ns == before.mtime_ns[row]
    again = scan(path, [before]).manifest
    assert (again.key == before.key).all() and (again.size == before.size).all()
    status = path.stat()
    write_hub(path, [("x.jpg", b"other", "cat"), *PICTURES[1:]])
    os.utime(
        path, ns=(status.st_atime_ns, status.st_mtime_ns)
    )  # an older copy put back, or a careless program
    assert not scan(path, [before]).manifest.hashed.any()


def test_a_row_that_is_not_there_any_more_or_has_no_bytes_is_refused(tmp_path: Path) -> None:
    path = write_hub(tmp_path / "a.parquet", [("x.jpg", None, "cat"), *PICTURES])  # type: ignore[list-item]
    manifest = scan(path).manifest
    with pytest.raises(RejectedImage, match="no bytes"):
        files.reader(manifest)(0)
    for name in (
        "a.parquet/image/0000099",
        "a.parquet/label/0000001",
        "a.parquet/image/x",
        "b.parquet/image/0",
    ):
        with pytest.raises(RejectedImage, match="cannot be read"):
            files.hashed(str(tmp_path / name))


def test_damaged_files_and_odd_labels_say_so(tmp_path: Path) -> None:
    path = write_hub(tmp_path / "a.parquet", PICTURES)
    manifest, whole = scan(path).manifest, path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(UserError, match="Expected a Parquet file in"):
        scan(path)
    with pytest.raises(RejectedImage, match="damaged Parquet file"):
        files.hashed(files.address(manifest, 0))
    metadata = pq.read_schema(write_hub(path, PICTURES)).metadata
    table = pq.read_table(path).set_column(1, "label", pa.array([7] * 10)).replace_schema_metadata(metadata)
    pq.write_table(table, path)
    with pytest.raises(UserError, match=r"class numbers below 2 .* received 7"):
        scan(path)
    pq.write_table(table.slice(0, 0), path)
    with pytest.raises(UserError, match="received no row"):
        scan(path)
    write_hub(tmp_path / "b.parquet", PICTURES, colour=["red"] * 10)
    write_hub(path, PICTURES)
    with pytest.raises(UserError, match="same columns in all Parquet files"):
        scan(tmp_path)
