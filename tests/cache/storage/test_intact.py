"""The list of files that were found intact: nothing in its place is an error, or blocks."""

import os
from pathlib import Path

import pytest

from cache.storage.files import user_folder
from cache.storage.intact import Intact


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_in_its_place_is_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "user"))
    known = (1, 2, 3, 4, 5)
    Intact(tmp_path).add("first", known)
    (there,) = (user_folder() / "verified").iterdir()
    assert Intact(tmp_path).has("first", known)
    there.unlink()
    os.mkfifo(there)
    intact = Intact(tmp_path)
    assert not intact.has("first", known)
    intact.add("second", known)
    intact.keep({"second"})
    assert intact.has("second", known) and not Intact(tmp_path).has("second", known)
