"""WebDataset's tars: samples where they are."""

import json
import os
from pathlib import Path

import pytest

from cache.errors import UserError
from cache.manifest import SPLITS
from cache.workspace import Workspace
from extract.pictures import files
from extract.pictures.decoding import RejectedImage
from extract.settings import Columns
from extract.sources.source import open_source, scan
from tests.extract.sources.wrappings import Picture, samples, write_tar, write_webdataset

PICTURES: list[Picture] = [(f"{n}.jpg", bytes([n]) * (n + 1), "cat" if n % 3 else "dog") for n in range(10)]


def labels(found) -> list[str]:  # type: ignore[no-untyped-def]
    return [[*found.manifest.classes, ""][code] for code in found.manifest.label]


def test_a_folder_of_tars_with_the_names_of_the_classes(tmp_path: Path) -> None:
    folder = write_webdataset(tmp_path / "pets", PICTURES)
    workspace = Workspace(tmp_path / "workspace")
    source = open_source(workspace, folder)
    found = source.scan()
    assert source.name == "pets" and not workspace.exists  # nothing is unpacked
    ordered = PICTURES[0::2] + PICTURES[1::2]
    assert labels(found) == [label for _, _, label in ordered]
    assert found.manifest.paths[0] == "part-000000.tar/000000.jpg" and found.rejects == []
    assert [files.reader(found.manifest)(row) for row in range(10)] == [data for _, data, _ in ordered]
    contents = files.hashed(files.address(found.manifest, 4))
    assert (contents.size, contents.mtime_ns) == (found.manifest.size[4], found.manifest.mtime_ns[4])


def test_one_tar_with_members_out_of_order(tmp_path: Path) -> None:
    members = samples(PICTURES, ["cat", "dog"])
    members = [*members[1::2], *reversed(members[::2])]
    source = open_source(Workspace(tmp_path / "w"), write_tar(tmp_path / "pets.tar", members))
    found = source.scan()
    assert (source.name, found.manifest.root, found.manifest.table) == ("pets", str(tmp_path), "pets.tar")
    assert labels(found) == ["0" if label == "cat" else "1" for _, _, label in PICTURES]
    assert [files.reader(found.manifest)(row) for row in range(10)] == [data for _, data, _ in PICTURES]


def test_json_other_suffixes_and_parts_by_name(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        said = [("a.jpg", b"1"), ("a.json", json.dumps({"label": "cat", "breed": 7, "tags": [1]}).encode())]
        said += [("b.left.PNG", b"2"), ("b.json", b'{"label": null, "breed": "x"}'), ("b.kind", b"dog\n")]
        write_tar(tmp_path / part / "0.tar", said)
    found = scan(tmp_path)
    assert (
        labels(found) == ["cat", ""] * 2
        and [SPLITS[c] for c in found.manifest.split] == ["test"] * 2 + ["train"] * 2
    )
    assert labels(scan(tmp_path, columns=Columns(label_column="breed"))) == ["7", "x"] * 2
    assert labels(scan(tmp_path, columns=Columns(label_column="kind"))) == ["", "dog"] * 2
    with pytest.raises(UserError, match="a text or a number"):
        scan(tmp_path, columns=Columns(label_column="tags"))
    with pytest.raises(UserError, match=r"samples with 'colour'.*--label-column"):
        scan(tmp_path, columns=Columns(label_column="colour"))


def test_what_is_no_sample_is_told(tmp_path: Path) -> None:
    members = [
        *samples(PICTURES[:2], ["cat", "dog"]),
        ("x.cls", b"0"),
        (".hidden.jpg", b""),
        ("000001.jpg", b"later"),
    ]
    path = write_tar(tmp_path / "a.tar", members)
    found = scan(path)
    assert [(reject.path, reject.reason) for reject in found.rejects] == [
        ("a.tar/x", "a sample without a picture")
    ]
    assert found.ignored == 1 and files.reader(found.manifest)(1) == b"later"


def test_damage_is_told_and_a_tar_that_shrank_is_refused(tmp_path: Path) -> None:
    folder = write_webdataset(tmp_path / "pets", [(n, d * 3000, c) for n, d, c in PICTURES], tars=1)
    path, manifest = folder / "part-000000.tar", scan(folder).manifest
    (folder / "classnames.txt").write_text("cat")
    with pytest.raises(UserError, match=r"class numbers below 1, by classnames.txt, received 1"):
        scan(folder)
    files.hashed(files.address(manifest, 9))
    status, data = path.stat(), path.read_bytes()
    for length in (status.st_size - 60_000, 20_000):
        os.truncate(path, length)
        with pytest.raises(UserError, match="Expected a whole tar"):
            scan(folder)
    with pytest.raises(RejectedImage, match="damaged archive"):
        files.hashed(files.address(manifest, 9))
    path.write_bytes(data)
    os.utime(path, ns=(0, status.st_mtime_ns))
    files.hashed(files.address(manifest, 9))
    with pytest.raises(RejectedImage, match="no such file in the archive"):
        files.hashed(str(path / "gone.jpg"))
    write_tar(path, samples(PICTURES, ["cat", "dog"]), "w:gz")
    with pytest.raises(UserError, match="not compressed"):
        scan(folder)
