"""What `extract` may be pointed at: unpacked once, atomically, and known again."""

import csv
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.manifest import SPLITS
from cache.workspace import Workspace
from extract.commands.manifest import survey
from extract.embedding.progress import Progress
from extract.sources.archives import archive
from extract.sources.source import exists, open_source, origin, previous_manifests
from extract.sources.unpacked import FOLDER


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def fill(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"P6 {path}")
    return folder


def pack(folder: Path, name: str = "flower_photos.tgz") -> Path:
    path = folder.parent / name
    with tarfile.open(path, "w:gz") as out:
        out.add(folder, folder.name)
    return path


@pytest.fixture
def flower_photos(tmp_path: Path) -> Path:
    """An archive like the tutorials': one folder at the top, with a licence beside the classes."""
    names = ("LICENSE.txt", "rose/1.jpg", "rose/2.jpg", "tulip/1.jpg", "tulip/.hidden")
    return pack(fill(tmp_path / "flower_photos", *names))


def test_an_archive_is_a_folder_of_classes(workspace: Workspace, flower_photos: Path) -> None:
    said: list[str] = []
    source = open_source(workspace, flower_photos, note=said.append)
    assert source.name == "flower_photos" and said == [f"unpacking {flower_photos}, once"]
    assert source.path.parent == workspace.root / FOLDER and source.path.name.startswith("flower_photos-")
    found = source.scan()
    assert found.manifest.classes == ("rose", "tulip") and len(found.manifest) == 3
    assert [reject.path for reject in found.rejects] == ["flower_photos/LICENSE.txt"] and found.ignored == 1
    assert origin(source.path) == flower_photos


def test_a_second_run_opens_nothing(workspace: Workspace, flower_photos: Path, monkeypatch) -> None:
    first = survey(workspace, flower_photos, None, Progress())
    assert first.manifest.hashed.all()

    def refuse(*_: object) -> None:
        raise AssertionError("opened again")

    monkeypatch.setattr(archive, "unpack", refuse)
    again = open_source(workspace, flower_photos)
    found = again.scan([workspace.manifest("flower_photos")])
    assert np.array_equal(found.manifest.key, first.manifest.key)
    assert (found.ignored, [r.path for r in found.rejects]) == (1, ["flower_photos/LICENSE.txt"])


def test_what_was_not_unpacked_is_told_again(workspace: Workspace, tmp_path: Path) -> None:
    path = pack(fill(tmp_path / "set", "a/1.jpg", "b/1.jpg"), "set.tar.gz")
    with tarfile.open(path, "w:gz") as out:
        out.add(tmp_path / "set", "set")
        info = tarfile.TarInfo("../\udcffx")
        out.addfile(info)
    for _ in range(2):
        source = open_source(workspace, path)
        assert source.name == "set"
        assert [(r.path, r.reason) for r in source.scan().rejects] == [
            ("../\udcffx", "its name leads out of the archive")
        ]


def test_a_changed_archive_is_unpacked_again_in_the_same_place(
    workspace: Workspace, tmp_path: Path, flower_photos: Path
) -> None:
    before = survey(workspace, flower_photos, None, Progress()).manifest
    status = flower_photos.stat()
    (tmp_path / "flower_photos/rose/2.jpg").write_text("P6 ROSE/2.jpg")  # of the same size
    (tmp_path / "flower_photos/rose/1.jpg").unlink()
    pack(tmp_path / "flower_photos")
    os.utime(flower_photos, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    after = survey(workspace, flower_photos, None, Progress()).manifest
    assert after.root == before.root and len(after) == 2
    assert after.key[0].tobytes() not in {key.tobytes() for key in before.key}
    assert [p.name for p in (workspace.root / FOLDER).iterdir() if p.is_dir()] == [Path(after.root).name]


def test_deleted_sources_come_back(workspace: Workspace, flower_photos: Path) -> None:
    first = open_source(workspace, flower_photos).path
    shutil.rmtree(first)
    assert (
        open_source(workspace, flower_photos).path == first and (first / "flower_photos/rose/1.jpg").exists()
    )
    shutil.rmtree(workspace.root / FOLDER)
    assert len(open_source(workspace, flower_photos).scan().manifest) == 3


def test_an_interrupted_unpacking_begins_again(
    workspace: Workspace, flower_photos: Path, monkeypatch
) -> None:
    (workspace.root / FOLDER / ".tmp-killed").mkdir(parents=True)  # kill -9 leaves this
    real = archive.unpack

    def interrupted(source: Path, folder: Path) -> archive.Unpacked:
        real(source, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "unpack", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_source(workspace, flower_photos)
    assert list((workspace.root / FOLDER).iterdir()) == []
    monkeypatch.setattr(archive, "unpack", real)
    assert len(open_source(workspace, flower_photos).scan().manifest) == 3


def test_a_folder_without_its_marker_is_not_believed(workspace: Workspace, flower_photos: Path) -> None:
    folder = open_source(workspace, flower_photos).path
    (folder / "flower_photos/rose/1.jpg").unlink()
    marker = folder.with_name(f"{folder.name}.json")
    for damage in ("", "[]", "{"):
        (folder / "flower_photos/rose/1.jpg").unlink(missing_ok=True)
        marker.write_text(damage)
        assert len(open_source(workspace, flower_photos).scan().manifest) == 3


def test_a_damaged_archive_leaves_nothing_and_keeps_what_there_was(
    workspace: Workspace, flower_photos: Path
) -> None:
    folder = open_source(workspace, flower_photos).path
    flower_photos.write_bytes(flower_photos.read_bytes()[:-20])
    with pytest.raises(UserError, match="whole archive"):
        open_source(workspace, flower_photos)
    assert sorted(p.name for p in (workspace.root / FOLDER).iterdir()) == [folder.name, f"{folder.name}.json"]
    assert (folder / "flower_photos/rose/1.jpg").exists()


def test_a_name_belongs_to_one_archive_until_that_is_gone(workspace: Workspace, flower_photos: Path) -> None:
    survey(workspace, flower_photos, None, Progress())
    other = flower_photos.parent / "other" / flower_photos.name
    other.parent.mkdir()
    shutil.copy(flower_photos, other)
    with pytest.raises(UserError, match=rf"to be {flower_photos}, as before, received {other}.*--name"):
        survey(workspace, other, None, Progress())
    folder = flower_photos.parent / "flower_photos"
    with pytest.raises(UserError, match="--name"):
        survey(workspace, folder, None, Progress())
    flower_photos.unlink()
    assert len(survey(workspace, other, None, Progress()).manifest) == 3
    assert previous_manifests(workspace, "flower_photos", open_source(workspace, other).path)


def test_split_folders_in_an_archive(workspace: Workspace, tmp_path: Path) -> None:
    path = pack(fill(tmp_path / "data", "train/a/1", "train/b/1", "validation/a/2", "validation/b/2"))
    manifest = open_source(workspace, path).scan().manifest
    assert [SPLITS[code] for code in manifest.split] == ["train", "train", "val", "val"]
    assert manifest.classes == ("a", "b")


@pytest.mark.parametrize("out", ["labels.csv", "labels.tsv", "elsewhere/labels.csv", "labels.parquet"])
def test_the_table_of_an_archive_is_the_same_data_set(
    workspace: Workspace, flower_photos: Path, tmp_path: Path, out: str
) -> None:
    if out.endswith("parquet"):
        pytest.importorskip("pyarrow")
    first = survey(workspace, flower_photos, None, Progress())
    (tmp_path / "elsewhere").mkdir()
    first.write_table(tmp_path / out)
    again = survey(workspace, tmp_path / out, None, Progress())
    assert again.dataset == "labels" and not again.rejects
    for name in ("key", "label", "split"):
        assert np.array_equal(getattr(first.manifest, name), getattr(again.manifest, name))
    if out.endswith("csv"):
        with (tmp_path / out).open(newline="") as file:
            assert next(csv.reader(file)) == ["path", "label", "split", "key"]


def test_a_table_keeps_odd_names_and_columns_that_a_frame_calls_otherwise(
    workspace: Workspace, tmp_path: Path
) -> None:
    names = ["caf\udce9.jpg", 'a,"b".jpg']
    for name in names:
        (tmp_path / name).write_bytes(b"P6 a picture")
    lines = ["path,label,size", f"{names[0]},x,small", '"a,""b"".jpg",,large', ""]
    (tmp_path / "given.csv").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    found = survey(workspace, tmp_path / "given.csv", None, Progress(), out=tmp_path / "out.csv")
    keys = [key.tobytes().hex() for key in found.manifest.key]
    assert (tmp_path / "out.csv").read_bytes() == (
        "path,label,split,key,size\r\n"
        f"caf\udce9.jpg,x,,{keys[0]},small\r\n"
        f'"a,""b"".jpg",,,{keys[1]},large\r\n'
    ).encode("utf-8", "surrogateescape")
    frame = found.to_frame()
    assert frame["path"].tolist() == names and frame["size_"].tolist() == ["small", "large"]


def test_a_missing_archive_and_other_files_say_so(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"archive in .*none\.zip, but: No such file"):
        open_source(workspace, tmp_path / "none.zip")
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(UserError, match=r"received a file at .*a\.rar.*\.zip, \.tar.*tfds:NAME"):
        open_source(workspace, tmp_path / "a.rar").scan()
    assert exists(Path("tfds:x")) and exists(tmp_path) and not exists(tmp_path / "none.zip")


def test_a_folder_may_be_named_like_an_archive(workspace: Workspace, tmp_path: Path) -> None:
    folder = fill(tmp_path / "photos.zip", "a/1", "b/1")
    source = open_source(workspace, folder)
    assert (source.path, source.name) == (folder, "photos.zip") and not workspace.exists


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_table_that_is_there_is_replaced_with_force_only(
    workspace: Workspace, tmp_path: Path, suffix: str
) -> None:
    folder, out, said = fill(tmp_path / "set", "a/1.jpg", "b/1.jpg"), tmp_path / f"labels{suffix}", []
    survey(workspace, folder, None, Progress(note=said.append), out=out)
    assert said[-1] == f"2 rows written to {out}"
    out.write_bytes(b"by hand")
    with pytest.raises(UserError, match=r"Expected a new file, received .* exists\. Pass --force"):
        survey(workspace, folder, None, Progress(), out=out)
    assert out.read_bytes() == b"by hand"
    survey(workspace, folder, None, Progress(), out=out, force=True)
    assert len(survey(workspace, out, None, Progress()).manifest) == 2


def test_a_table_of_another_suffix_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    folder = fill(tmp_path / "set", "a/1.jpg", "b/1.jpg")
    with pytest.raises(UserError, match=r"ends in \.csv, \.tsv or \.parquet, received .*t\.xlsx"):
        survey(workspace, folder, None, Progress(), out=tmp_path / "t.xlsx")
    assert not (tmp_path / "t.xlsx").exists() and not workspace.datasets()


def test_a_place_of_tfds_is_for_tfds(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Expected tfds:NAME with --data-dir.*received .*set\. Leave"):
        open_source(workspace, fill(tmp_path / "set", "a/1.jpg"), data_dir=str(tmp_path))


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet", "pictures.zip", "pictures"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="which is a pipe"):
        open_source(Workspace(tmp_path / "w"), tmp_path / name)
