"""Archives: what comes out, what never does, and what is said of those that are not whole."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from cache.errors import UserError
from extract.sources.archives import archive
from extract.sources.archives.archive import Unpacked, is_archive, suffix, unpack

FILES = {
    "top/rose/a.jpg": b"a" * 2000,
    "top/rose/b.jpg": b"b" * 10,
    "top/tulip/c.jpg": b"",
    "top/LICENSE": b"free",
}


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in files.items():
            out.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    mode = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(path.suffix.lower()[1:], "w")
    with tarfile.open(path, mode) as out:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
        for info in more:
            out.addfile(info)
    return path


def link(kind: bytes, name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "out").mkdir(parents=True)
    return tmp_path / "deep" / "out"


@pytest.mark.parametrize("name", ["x.zip", "x.ZIP", "x.tar", "x.tar.gz", "x.tgz", "x.tar.bz2", "x.Tar.XZ"])
def test_all_files_come_out(tmp_path: Path, folder: Path, name: str) -> None:
    path = (write_zip if name.lower().endswith("zip") else write_tar)(tmp_path / name, FILES)
    assert is_archive(path) and not is_archive(folder) and suffix(path) == name[1:]
    assert unpack(path, folder) == Unpacked(files=4)
    assert content(folder) == FILES


def test_nothing_is_written_elsewhere(tmp_path: Path, folder: Path) -> None:
    evil = ["../x", "a/../../x", str(tmp_path / "absolute"), "a/..", ".."]
    names = [*evil, "./a/fine.jpg", "a//b/./fine.jpg"]
    found = unpack(write_tar(tmp_path / "x.tar", dict.fromkeys(names, b"!")), folder)
    assert content(folder) == {"a/fine.jpg": b"!", "a/b/fine.jpg": b"!"}
    assert [reject.path for reject in found.rejects] == evil
    assert {reject.reason for reject in found.rejects} == {"its name leads out of the archive"}
    other = tmp_path / "other"
    other.mkdir()
    found = unpack(write_zip(tmp_path / "x.zip", {"..\\x": b"!", "../x": b"!", "a\\b.jpg": b"!"}), other)
    assert content(other) == {"a/b.jpg": b"!"} and len(found.rejects) == 2
    assert {p.name for p in tmp_path.iterdir()} == {"deep", "other", "x.tar", "x.zip"}
    assert [p.name for p in folder.parent.iterdir()] == ["out"]


def test_links_and_devices_are_rejects_but_hard_links_within_are_copies(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    path = write_tar(
        tmp_path / "x.tar",
        {"rose/a.jpg": b"a"},
        link(tarfile.LNKTYPE, "rose/again.jpg", "./rose/a.jpg"),
        link(tarfile.LNKTYPE, "rose/out.jpg", "../../secret"),
        link(tarfile.LNKTYPE, "rose/abs.jpg", str(tmp_path / "secret")),
        link(tarfile.LNKTYPE, "rose/none.jpg", "rose/later.jpg"),
        link(tarfile.SYMTYPE, "rose/sym.jpg", "a.jpg"),
        link(tarfile.SYMTYPE, "tulip", "../.."),
        link(tarfile.FIFOTYPE, "rose/pipe", ""),
    )
    found = unpack(path, folder)
    assert content(folder) == {"rose/a.jpg": b"a", "rose/again.jpg": b"a"} and found.files == 2
    assert not any(p.is_symlink() for p in folder.rglob("*"))
    reasons = {reject.path: reject.reason for reject in found.rejects}
    assert reasons.pop("rose/sym.jpg") == reasons.pop("tulip") == "a link"
    assert reasons.pop("rose/pipe") == "not a regular file"
    assert set(reasons) == {"rose/out.jpg", "rose/abs.jpg", "rose/none.jpg"}
    info = zipfile.ZipInfo("rose/sym.jpg")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(write_zip(tmp_path / "x.zip", {"rose/b.jpg": b"b"}), "a") as out:
        out.writestr(info, "/etc/passwd")
    assert [reject.reason for reject in unpack(tmp_path / "x.zip", folder).rejects] == ["a link"]


def test_odd_names(tmp_path: Path, folder: Path) -> None:
    names = [
        "rosé/ü.jpg",
        "a" * 300 + "/x.jpg",
        "b/x.jpg",
        "b",
        "b/x.jpg/y",
        "c/\udcff.jpg",
        "c/new\nline",
        "d/e f",
    ]
    found = unpack(write_tar(tmp_path / "x.tar", dict.fromkeys(names, b"!")), folder)
    assert {os.fsdecode(name) for name in content(folder)} == {names[0], "b/x.jpg", *names[5:]}
    assert found.files == 5 and sorted(r.path for r in found.rejects) == sorted([names[1], "b", "b/x.jpg/y"])
    hidden = ["__MACOSX/rose/._a.jpg", "rose/.DS_Store", ".git/x", "rose/Thumbs.db", "rose/a.jpg"]
    found = unpack(write_zip(tmp_path / "x.zip", dict.fromkeys(hidden, b"!")), folder)
    assert (found.files, found.ignored, found.rejects) == (1, 4, [])


def test_unmarked_utf8_in_zip_files_is_read_as_meant(tmp_path: Path, folder: Path) -> None:
    path = write_zip(tmp_path / "x.zip", {"XXXX/a.jpg": b"!"})  # macOS does not set the bit that says UTF-8
    path.write_bytes(path.read_bytes().replace(b"XXXX", "éé".encode()))
    unpack(path, folder)
    assert list(content(folder)) == ["éé/a.jpg"]


def test_of_two_files_with_one_name_the_later_holds(tmp_path: Path, folder: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"rose/a.jpg": b"old", "./rose/a.jpg": b"new"})
    found = unpack(path, folder)
    assert content(folder) == {"rose/a.jpg": b"new"} and found.files == 1
    assert [reject.reason for reject in found.rejects] == ["another file of this name comes later"]


@pytest.mark.parametrize("name", ["x.zip", "x.tgz"])
def test_an_archive_that_would_fill_the_disk_is_stopped(
    tmp_path: Path, folder: Path, name: str, monkeypatch
) -> None:
    monkeypatch.setattr(archive, "ALLOWANCE", 2**20)
    path = (write_zip if name.endswith("zip") else write_tar)(tmp_path / name, {"rose/a.bmp": bytes(2**24)})
    assert path.stat().st_size * 100 + 2**20 < 2**23
    with pytest.raises(UserError, match=r"at most .* bytes .*fill the disk.*unpack it yourself"):
        unpack(path, folder)
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 2**23


def test_many_empty_files_count_as_what_they_take(tmp_path: Path, folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(archive, "ALLOWANCE", 0)
    monkeypatch.setattr(archive, "GROWTH", 10)
    path = write_zip(tmp_path / "x.zip", {f"a/{i}": b"" for i in range(100)})
    with pytest.raises(UserError, match="fill the disk"):
        unpack(path, folder)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tar.bz2", "x.tar.xz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.999])
def test_a_truncated_archive_is_refused(tmp_path: Path, folder: Path, name: str, share: float) -> None:
    random = {f"rose/{i}.jpg": os.urandom(5000) for i in range(5)}
    path = (write_zip if name.endswith("zip") else write_tar)(tmp_path / name, random)
    data = path.read_bytes()
    # A .tar ends with blocks of zeros, which say nothing.
    end = 5 * (512 + 5120) - 300 if name == "x.tar" else len(data)
    path.write_bytes(data[: int(end * share)])
    with pytest.raises(UserError, match="whole archive"):
        unpack(path, folder)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
def test_a_flipped_bit_is_noticed(tmp_path: Path, folder: Path, name: str) -> None:
    path = (write_zip if name.endswith("zip") else write_tar)(
        tmp_path / name, {"rose/a.jpg": os.urandom(50_000)}
    )
    data = bytearray(path.read_bytes())
    data[25_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="whole archive"):
        unpack(path, folder)


def test_a_damaged_header_does_not_pass_for_the_end(tmp_path: Path, folder: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"rose/a.jpg": b"a", "rose/b.jpg": b"b"})
    data = bytearray(path.read_bytes())
    data[1024] ^= 1  # the first letter of the second name
    path.write_bytes(data)
    with pytest.raises(UserError, match="bad checksum"):
        unpack(path, folder)


def test_what_is_no_archive_is_refused(tmp_path: Path, folder: Path) -> None:
    for name in ("x.zip", "x.tgz", "y.tar"):
        (tmp_path / name).write_bytes(b"<html>404 not found</html>" * 100)
        with pytest.raises(UserError, match="another kind of file"):
            unpack(tmp_path / name, folder)
    (tmp_path / "z.tar.gz").write_bytes(gzip.compress(b"no tar" * 1000))
    with pytest.raises(UserError, match="another kind of file"):
        unpack(tmp_path / "z.tar.gz", folder)


def test_encrypted_archives_are_refused(tmp_path: Path, folder: Path) -> None:
    path = write_zip(tmp_path / "x.zip", {"rose/a.jpg": b"a"})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        at = data.index(signature) + offset
        data[at : at + 2] = struct.pack("<H", struct.unpack("<H", data[at : at + 2])[0] | 1)
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"encrypted.*'rose/a.jpg' needs a password"):
        unpack(path, folder)


def test_archives_without_pictures_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="without files"):
        unpack(write_zip(tmp_path / "x.zip", {"rose/": b"", "tulip/": b""}), folder)
    with pytest.raises(UserError, match=r"3 entries .* the first '../a' \(its name leads out"):
        unpack(write_tar(tmp_path / "y.tar", dict.fromkeys(["../a", "../b", "/c"], b"!")), folder)
    with pytest.raises(UserError, match=r"archive of archives, the first 'data/(rose|tulip).zip'"):
        unpack(write_zip(tmp_path / "z.zip", {"data/rose.zip": b"PK", "data/tulip.zip": b"PK"}), folder)
