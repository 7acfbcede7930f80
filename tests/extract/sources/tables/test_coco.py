"""COCO's JSON with one category a picture."""

import json
from pathlib import Path

import pytest

from cache.errors import UserError
from extract.sources.source import default_name, scan
from tests.extract.sources.wrappings import Picture, write_coco

PICTURES: list[Picture] = [(f"{n}.jpg", bytes([n]), "cat" if n % 3 else "dog") for n in range(6)]


@pytest.fixture(params=["", "instances_train2017", "images", "../train2017", "../images"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The file, and pictures where such data sets have them."""
    path = write_coco(tmp_path / "annotations/instances_train2017.json", PICTURES)
    for name, data, label in PICTURES:
        picture = path.parent / request.param / label / name
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(data)
    return path


def test_pictures_with_their_category(path: Path) -> None:
    found = scan(path)
    manifest = found.manifest
    assert default_name(path) == "instances_train2017" and found.rejects == []
    assert [manifest.classes[code] for code in manifest.label] == [label for _, _, label in PICTURES]
    assert Path(manifest.root, manifest.table) == path
    assert [Path(manifest.root, each).read_bytes() for each in manifest.paths] == [
        data for _, data, _ in PICTURES
    ]


def test_several_categories_are_a_reject_and_none_is_no_label(tmp_path: Path) -> None:
    for name, data, label in PICTURES:
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / name).write_bytes(data)
    path = write_coco(tmp_path / "a.json", PICTURES)
    said = json.loads(path.read_text())
    said["annotations"] += [{"image_id": 0, "category_id": 1}, {"image_id": 1, "category_id": 1}]
    said["annotations"] = [each for each in said["annotations"] if each["image_id"] != 5]
    path.write_text(json.dumps(said))
    found = scan(path)
    assert [(reject.path, reject.reason) for reject in found.rejects] == [
        ("dog/0.jpg", "2 categories, the first cat and dog")
    ]
    assert found.manifest.label.tolist() == [0, 0, 1, 0, -1] and "1 rows have no label" in found.notes
    said["annotations"] = [{"image_id": i, "category_id": c} for i in range(6) for c in (1, 2)]
    path.write_text(json.dumps(said))
    with pytest.raises(UserError, match="one category a picture"):
        scan(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "COCO's JSON in"),
        ("[1]", "received list"),
        ('{"a": 1}', "received a"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "lacks or misses 'file_name'"),
        ('{"images": [], "annotations": [], "categories": []}', "empty list of images"),
        (
            '{"images": [{"id": 1, "file_name": "x.jpg"}], "annotations": [], "categories": []}',
            "1 rows without a file, the first 'x.jpg'",
        ),
    ],
)
def test_other_json_says_what_is_missing(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=message):
        scan(tmp_path / "a.json")
