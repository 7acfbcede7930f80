import os
import stat
from pathlib import Path

import pytest

from cache.errors import UserError
from cache.storage.files import make_folder, write_file


def test_writes_whole_file_with_mode_and_no_leftover(tmp_path):
    path = tmp_path / "a.bin"
    write_file(path, b"old")
    write_file(path, memoryview(b"new content"), mode=0o444)
    assert path.read_bytes() == b"new content"
    assert stat.S_IMODE(path.stat().st_mode) & 0o222 == 0
    assert list(tmp_path.iterdir()) == [path]


def test_empty_content(tmp_path):
    write_file(tmp_path / "empty", b"")
    assert (tmp_path / "empty").read_bytes() == b""


def test_content_is_synced_before_the_rename_and_the_folder_after(tmp_path, monkeypatch):
    path, seen, real = tmp_path / "a", [], os.fsync

    def fsync(handle):
        seen.append((stat.S_ISDIR(os.fstat(handle).st_mode), path.exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_file(path, b"x")
    assert seen == [(False, False), (True, True)]


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:3]))
    write_file(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_interrupt_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_file(path, b"old")

    def interrupted(handle, data):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_system_errors_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"Could not write .*: No such file.*run the same command again"):
        write_file(tmp_path / "missing" / "a", b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="Could not write"):
        make_folder(tmp_path / "file" / "folder")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_forbidden_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"cannot be written to.*--workspace"):
        write_file(tmp_path / "a", b"x")


def test_make_folder_makes_parents(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_relative_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_folder(Path("a/b"))
    write_file(Path("a/b/c"), b"x")
    assert (tmp_path / "a/b/c").exists()
