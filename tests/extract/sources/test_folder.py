"""Scanning: layouts, odd names, links, what is no sample, and keys kept from one scan to the next."""

import builtins
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from cache.errors import UserError
from cache.manifest import SPLITS, Manifest
from extract.commands.manifest import hash_missing
from extract.sources.source import scan
from tests.extract import sample_pictures


def fill(root: Path, *paths: str) -> Path:
    """Write small files whose bytes are their own path."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(os.fsencode(path))
    return root


def labels(manifest: Manifest) -> dict[str, str]:
    return {p: manifest.classes[n] for p, n in zip(manifest.paths, manifest.label, strict=True)}


def test_classes_are_the_first_folders(tmp_path: Path) -> None:
    fill(tmp_path, "rose/b.jpg", "rose/a.jpg", "daisy/deep/er/c.jpg", "daisy-2/d", "daisy/e")
    found = scan(tmp_path)
    manifest = found.manifest
    assert manifest.root == str(tmp_path)
    assert manifest.classes == ("daisy", "daisy-2", "rose")
    assert manifest.paths == ["daisy-2/d", "daisy/deep/er/c.jpg", "daisy/e", "rose/a.jpg", "rose/b.jpg"]
    assert labels(manifest)["daisy/deep/er/c.jpg"] == "daisy" and labels(manifest)["daisy-2/d"] == "daisy-2"
    assert not manifest.split.any() and not manifest.hashed.any()
    status = (tmp_path / "rose/a.jpg").stat()
    assert (manifest.size[3], manifest.mtime_ns[3]) == (status.st_size, status.st_mtime_ns)
    assert (manifest.label.dtype, manifest.split.dtype) == (np.int32, np.uint8)
    assert (manifest.key.shape, manifest.key.dtype) == ((5, 32), np.uint8)
    assert found.rejects == [] and found.ignored == 0


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "VALIDATION", "testing"), ("train",)]
)
def test_split_folders_give_the_split(tmp_path: Path, names: tuple[str, ...]) -> None:
    fill(tmp_path, *(f"{name}/{label}/x.jpg" for name in names for label in ("a", "b")))
    found = scan(tmp_path)
    assert found.manifest.classes == ("a", "b")
    codes = {name: SPLITS.index(("train", "val", "test")[number]) for number, name in enumerate(names)}
    for path, split in zip(found.manifest.paths, found.manifest.split, strict=True):
        assert split == codes[path.split("/")[0]]
    assert found.notes == ([] if len(names) > 1 else found.notes)


@pytest.mark.parametrize("names", [("train", "car"), ("test", "other"), ("traina", "val")])
def test_other_top_folders_are_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    fill(tmp_path, *(f"{name}/deep/{n}.jpg" for name in names for n in range(2)))
    found = scan(tmp_path)
    assert found.manifest.classes == tuple(sorted(names)) and not found.manifest.split.any()


def test_several_names_of_one_split_are_merged(tmp_path: Path) -> None:
    found = scan(fill(tmp_path, "train/a/1", "training/a/2", "dev/a/3", "valid/a/4"))
    assert [SPLITS[code] for code in found.manifest.split] == ["val", "train", "train", "val"]


def test_a_folder_without_files_beside_parts_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "unlabelled" / "inner").mkdir(parents=True)
    found = scan(fill(tmp_path, "train/rose/1", "train/tulip/1", "test/rose/1", "unlabelled/.hidden"))
    assert found.manifest.classes == ("rose", "tulip")
    assert [SPLITS[code] for code in found.manifest.split] == ["test", "train", "train"]
    assert found.notes[0] == "folders without files, left out: 'unlabelled'"


@pytest.mark.parametrize("linked", [False, True])
def test_parts_beside_another_folder_are_refused(tmp_path: Path, linked: bool) -> None:
    root = fill(tmp_path / "set", "train/rose/1", "Test/rose/1")
    if linked:
        (root / "unlabelled").mkdir()
        (root / "unlabelled" / "link").symlink_to(fill(tmp_path / "else", "1"))
    else:
        fill(root, "unlabelled/inner/1")
    told = r"received Test, train and 'unlabelled'\. Move 'unlabelled' away, or rename it\."
    with pytest.raises(UserError, match=told):
        scan(root)


def test_one_part_among_classes_is_a_class_with_a_note(tmp_path: Path) -> None:
    found = scan(fill(tmp_path, "train/rose/1", "train/rose/2", "rose/1", "rose/2"))
    assert found.manifest.classes == ("rose", "train")
    assert found.notes == ["the folder 'train' is taken for a class, because 'rose' beside it is no part"]


def test_unpacked_archive_is_descended_into(tmp_path: Path) -> None:
    fill(tmp_path, "outer/inner/rose/1", "outer/inner/rose/2", "outer/inner/daisy/1", "outer/inner/daisy/2")
    fill(tmp_path, "__MACOSX/x/._1")
    found = scan(tmp_path)
    assert found.manifest.classes == ("daisy", "rose")
    assert found.manifest.paths[0] == "outer/inner/daisy/1"
    assert len(found.notes) == 2 and "'outer/inner'" in found.notes[1]
    assert found.ignored == 1
    archive = fill(tmp_path / "b", "data/train/a/1", "data/train/b/1", "data/test/a/1", "data/test/b/1")
    assert [SPLITS[code] for code in scan(archive).manifest.split] == ["test", "test", "train", "train"]


@pytest.mark.parametrize("paper", ["top/LICENSE.txt", "top/README", "notes.md"])
def test_papers_do_not_hide_the_classes_of_an_unpacked_archive(tmp_path: Path, paper: str) -> None:
    found = scan(fill(tmp_path, "top/a/1", "top/b/1", paper))
    assert found.manifest.classes == ("a", "b") and [r.path for r in found.rejects] == [paper]
    found = scan(fill(tmp_path, "top/picture.jpg"))
    assert found.manifest.classes == ("top",)


def test_one_class_with_files_is_not_an_archive(tmp_path: Path) -> None:
    found = scan(fill(tmp_path, "only/1", "only/deep/2"))
    assert found.manifest.classes == ("only",)
    assert any("only one class, 'only'" in note for note in found.notes)


def test_files_outside_class_folders_are_rejects(tmp_path: Path) -> None:
    found = scan(fill(tmp_path, "a/1", "b/1", "readme.txt", "loose.jpg"))
    assert [(r.path, r.reason, r.key) for r in found.rejects] == [
        ("loose.jpg", "in no class folder", None),
        ("readme.txt", "in no class folder", None),
    ]
    found = scan(fill(tmp_path / "split", "train/a/1", "train/b/1", "train/loose", "test/a/1"))
    assert [r.path for r in found.rejects] == ["train/loose"]


def test_clutter_is_ignored_and_counted(tmp_path: Path) -> None:
    found = scan(
        fill(tmp_path, "a/1", "a/.hidden", "a/Thumbs.db", "a/desktop.ini", ".git/x/y", "b/1", ".DS_Store")
    )
    assert found.manifest.paths == ["a/1", "b/1"] and found.ignored == 5 and not found.rejects


def test_notes_name_what_makes_training_hard(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    fill(tmp_path, "many/1", "many/2", "single/1")
    found = scan(tmp_path)
    assert found.manifest.classes == ("many", "single")
    assert found.notes == [
        "1 class without any file, left out: 'empty'",
        "1 class with a single file: 'single'",
    ]
    found = scan(
        fill(tmp_path / "split", "train/a/1", "train/a/2", "test/a/3", "test/new\n/1", "test/new\n/2")
    )
    assert found.notes == ["1 class without files for training: 'new\\n'"]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda root: None, "received nothing"),
        (lambda root: root.write_bytes(b""), "received a file"),
        (lambda root: root.mkdir(), "an empty one"),
        (
            lambda root: fill(root, "1.jpg", "2.jpg"),
            "2 other entries, the first '1.jpg'.*Make class folders.*`predict`",
        ),
        (lambda root: fill(root, "train/1.jpg", "test/2.jpg"), "in no class folder.*Make class folders"),
        (lambda root: fill(root, ".hidden/1.jpg"), "1 names ignored"),
        (lambda root: [(root / name).mkdir(parents=True) for name in "ab"], "2 folders without files"),
    ],
)
def test_what_is_no_data_set_says_what_to_do(tmp_path: Path, make, expected: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(UserError, match=f"(?s)Expected.*{expected}"):
        scan(tmp_path / "data")


def test_links_are_followed(tmp_path: Path) -> None:
    fill(tmp_path / "far", "pictures/1", "pictures/deep/2", "one")
    fill(tmp_path / "data", "a/1")
    (tmp_path / "data/b").symlink_to(tmp_path / "far/pictures")
    (tmp_path / "data/a/link.jpg").symlink_to(tmp_path / "far/one")
    found = scan(tmp_path / "data")
    assert labels(found.manifest) == {"a/1": "a", "a/link.jpg": "a", "b/1": "b", "b/deep/2": "b"}
    assert found.manifest.size[1] == len("one") and not found.rejects
    assert len(scan(tmp_path / "data/../data").manifest) == 4


def test_links_never_loop_nor_take_a_class_away(tmp_path: Path) -> None:
    fill(tmp_path, "a/1", "b/deep/2", "c/3")
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "a/above").symlink_to("/")
    (tmp_path / "a/self").symlink_to(".")
    (tmp_path / "a/b").symlink_to("../b")
    (tmp_path / "a/deep").symlink_to("../b/deep")
    (tmp_path / "Also c").symlink_to("c")
    found = scan(tmp_path)
    assert labels(found.manifest) == {"a/1": "a", "b/deep/2": "b", "c/3": "c"}
    rejects = {r.path: r.reason for r in found.rejects}
    assert set(rejects) == {"a/up", "a/above", "a/self", "a/b", "a/deep", "Also c"}
    assert rejects["a/deep"].endswith("b/deep") and rejects["a/up"].endswith("a folder that contains it")
    (tmp_path / "only/x").mkdir(parents=True)
    (tmp_path / "only/x/x").symlink_to(".")
    with pytest.raises(UserError, match="without files"):
        scan(tmp_path / "only")


def test_only_regular_files_are_samples_and_nothing_else_is_opened(tmp_path: Path, monkeypatch) -> None:
    special = sample_pictures.write_special(tmp_path / "a")
    fill(tmp_path, "a/1", "b/1")

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"opened {args}")

    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr(os, "open", refuse)
    found = scan(tmp_path)
    assert found.manifest.paths == ["a/1", "b/1"]
    reasons = {r.path.removeprefix("a/"): r.reason for r in found.rejects}
    assert set(reasons) == special
    assert (
        reasons["pipe.jpg"] == "not a file but a pipe" and reasons["socket.jpg"] == "not a file but a socket"
    )
    assert reasons["device.jpg"] == "not a file but a device"
    assert reasons["dangling.jpg"].startswith("broken link") and reasons["circle.jpg"].startswith(
        "broken link"
    )


def test_unreadable_folder_is_a_reject_and_the_scan_goes_on(tmp_path: Path, monkeypatch) -> None:
    fill(tmp_path, "a/1", "a/locked/2", "b/1")
    scandir = os.scandir

    def locked(path: str):
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    found = scan(tmp_path)
    assert found.manifest.paths == ["a/1", "b/1"]
    assert [(r.path, r.reason) for r in found.rejects] == [
        ("a/locked", "unreadable folder: Permission denied")
    ]


def test_odd_names_survive(tmp_path: Path) -> None:
    fill(
        tmp_path,
        *(f"{label}/{name}" for name in sample_pictures.names() for label in ("-rf", "new\nline \N{ROSE}")),
    )
    odd = os.fsdecode(b"caf\xe9")
    fill(tmp_path, f"{odd}/1", f"{odd}/2")
    found = scan(tmp_path)
    assert found.manifest.paths == sorted(found.manifest.paths)
    assert len(found.manifest) == 2 * len(sample_pictures.names()) + 2
    assert odd in found.manifest.classes
    hash_missing(found.manifest, 2)
    for path, key in zip(found.manifest.paths, found.manifest.key, strict=True):
        assert hashlib.sha256(os.fsencode(path)).digest() == key.tobytes()
    found.manifest.save(tmp_path.parent / "odd.h5")
    again = Manifest.load(tmp_path.parent / "odd.h5")
    assert again.paths == found.manifest.paths and again.classes == found.manifest.classes


def test_everything_seen_is_accounted_for(tmp_path: Path) -> None:
    expected = sample_pictures.write_all(tmp_path / "a")
    special = sample_pictures.write_special(tmp_path / "b")
    fill(tmp_path, "b/1", "b/.x", "loose")
    found = scan(tmp_path)
    seen = len(found.manifest) + len(found.rejects) + found.ignored
    assert seen == len(expected) + len(special) + 3
    assert len(found.manifest) == len(expected) + 1


def hashed(root: Path) -> Manifest:
    manifest = scan(root).manifest
    assert hash_missing(manifest, 2) == []
    return manifest


def test_hash_missing_reads_only_what_has_no_key(tmp_path: Path) -> None:
    fill(tmp_path, "a/1", "a/2", "b/1")
    (tmp_path / "b/big").write_bytes(b"x" * 3_000_000)
    (tmp_path / "b/empty").write_bytes(b"")
    (tmp_path / "b/grown").write_bytes(b"")
    manifest = scan(tmp_path).manifest
    manifest.key[0] = 7
    (tmp_path / "a/2").unlink()
    (tmp_path / "b/1").write_bytes(b"longer than when it was listed")
    (tmp_path / "b/grown").write_bytes(b"empty when it was listed")
    rejects = hash_missing(manifest, 3)
    assert [(r.path, r.reason) for r in rejects] == [("a/2", "cannot be read: No such file or directory")]
    assert manifest.key[0].tolist() == [7] * 32 and not manifest.hashed[1]
    for row in range(2, len(manifest)):
        assert (
            manifest.key[row].tobytes()
            == hashlib.sha256((tmp_path / manifest.paths[row]).read_bytes()).digest()
        )


def test_hash_missing_covers_many_files(tmp_path: Path) -> None:
    manifest = hashed(fill(tmp_path, *(f"{label}/{number}" for label in "ab" for number in range(700))))
    expected = [hashlib.sha256(path.encode()).digest() for path in manifest.paths]
    assert [key.tobytes() for key in manifest.key] == expected


def test_keys_are_kept_while_a_file_is_unchanged(tmp_path: Path) -> None:
    fill(tmp_path, "a/1", "a/2", "a/3", "b/1")
    old = hashed(tmp_path)
    assert np.array_equal(scan(tmp_path, [old]).manifest.key, old.key)
    (tmp_path / "a/2").write_bytes(b"of another size")
    os.utime(tmp_path / "a/2", ns=(0, int(old.mtime_ns[1])))
    os.utime(tmp_path / "a/3", ns=(0, int(old.mtime_ns[2]) + 1))
    assert scan(tmp_path, [old]).manifest.hashed.tolist() == [True, False, False, True]


def test_keys_are_kept_when_files_come_and_go(tmp_path: Path) -> None:
    fill(tmp_path, "a/2", "a/3", "b/1")
    old = hashed(tmp_path)
    (tmp_path / "a/3").unlink()
    fill(tmp_path, "a/1", "c/1")
    new = scan(tmp_path, [old]).manifest
    assert new.paths == ["a/1", "a/2", "b/1", "c/1"]
    assert new.hashed.tolist() == [False, True, True, False]
    assert np.array_equal(new.key[1:3], old.key[[0, 2]])


def test_later_manifests_fill_what_earlier_ones_lack(tmp_path: Path) -> None:
    fill(tmp_path, "a/1", "b/1")
    full = hashed(tmp_path)
    wrong = full.select(np.arange(2))
    wrong.key[0] = 9
    wrong.key[1] = 0
    new = scan(tmp_path, [wrong, full]).manifest
    assert new.key[0].tolist() == [9] * 32 and np.array_equal(new.key[1], full.key[1])


def test_keys_follow_a_moved_folder_but_not_a_lookalike(tmp_path: Path) -> None:
    old = hashed(fill(tmp_path / "one", "a/1", "b/1"))
    fill(tmp_path / "two", "a/1", "b/1")
    for path, time in zip(old.paths, old.mtime_ns, strict=True):
        os.utime(tmp_path / "two" / path, ns=(0, int(time)))
    assert not scan(tmp_path / "two", [old]).manifest.hashed.any()
    (tmp_path / "alias").symlink_to("one")
    assert scan(tmp_path / "alias", [old]).manifest.hashed.all()
    (tmp_path / "one").rename(tmp_path / "moved")
    assert scan(tmp_path / "moved", [old]).manifest.hashed.all()
