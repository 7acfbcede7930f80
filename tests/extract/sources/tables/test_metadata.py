"""metadata.csv and metadata.jsonl beside pictures."""

import json
from pathlib import Path

import pytest

from cache.errors import UserError
from cache.manifest import SPLITS
from extract.settings import Columns
from extract.sources.source import scan


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def labels(found) -> dict[str, str]:  # type: ignore[no-untyped-def]
    names = [*found.manifest.classes, ""]
    return {path: names[code] for path, code in zip(found.manifest.paths, found.manifest.label, strict=True)}


def test_a_flat_folder_with_its_labels_beside(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "deep/b.jpg", "c.jpg")
    (tmp_path / "metadata.csv").write_text(
        "file_name,label,plant\na.jpg,rose,1\ndeep/b.jpg,tulip,2\ngone.jpg,rose,3\n"
    )
    found = scan(tmp_path)
    assert labels(found) == {"a.jpg": "rose", "deep/b.jpg": "tulip"}
    assert found.manifest.columns == {"plant": ["1", "2"]} and found.manifest.table == ""
    assert [reject.path for reject in found.rejects] == ["gone.jpg"]
    assert "labels are those of 'metadata.csv'" in found.notes


def test_parts_with_lines_of_json(tmp_path: Path) -> None:
    put(tmp_path, "train/a.jpg", "train/b.jpg", "test/a.jpg")
    for part, names in (("train", "ab"), ("test", "a")):
        lines = [{"file_name": f"{name}.jpg", "label": 3, "boxes": [1], "kind": name} for name in names]
        (tmp_path / part / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    found = scan(tmp_path)
    assert labels(found) == {"test/a.jpg": "3", "train/a.jpg": "3", "train/b.jpg": "3"}
    assert [SPLITS[code] for code in found.manifest.split] == ["test", "train", "train"]
    assert list(found.manifest.columns) == ["kind"]
    assert set(labels(scan(tmp_path, columns=Columns(label_column="kind"))).values()) == {"a", "b"}


def test_without_labels_the_class_folders_count(tmp_path: Path) -> None:
    put(tmp_path, "rose/a.jpg", "tulip/b.jpg")
    (tmp_path / "metadata.csv").write_text("file_name,caption\nrose/a.jpg,nice\n")
    assert labels(scan(tmp_path)) == {"rose/a.jpg": "rose", "tulip/b.jpg": "tulip"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "metadata.csv",
            "name,label\na.jpg,x\n",
            "Expected 'file_name' in .*received 'name', 'label' in line 2",
        ),
        ("metadata.csv", "file_name,label\na.jpg\n", "Expected 2 columns"),
        ("metadata.jsonl", '{"file_name": "a.jpg", "label": "x"}\n[]\n', "JSON object in each line .*line 2"),
        ("metadata.jsonl", '{"file_name": "a.jpg", "label"', "JSON object in each line"),
        ("metadata.csv", "file_name,label\nz.jpg,x\n", "1 rows without a file"),
    ],
)
def test_what_is_wrong_with_it_is_said(tmp_path: Path, name: str, text: str, message: str) -> None:
    put(tmp_path, "a.jpg")
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        scan(tmp_path)


def test_columns_are_for_what_has_some(tmp_path: Path) -> None:
    put(tmp_path, "rose/a.jpg", "tulip/b.jpg")
    with pytest.raises(UserError, match="with --path-column, --label-column or --suffix, received"):
        scan(tmp_path, columns=Columns(label_column="breed"))
