"""The ledger of what may run code lies with the user, and belongs to nobody else."""

import stat

import pytest

from cache.errors import UserError
from cache.storage import trusted

SHA256 = "0f" * 32


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDFRAME_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_what_was_made_is_known(state):
    assert not trusted.known(SHA256) and not state.exists()
    trusted.remember(SHA256)
    trusted.remember(SHA256)
    assert trusted.known(SHA256) and not trusted.known("0e" * 32)
    assert stat.S_IMODE((state / "trusted").stat().st_mode) == 0o700
    with pytest.raises(ValueError):
        trusted.known("../FORMAT")


def test_trust_is_asked_for_once(tmp_path):
    assert not trusted.admitted(SHA256, trust=False)
    assert trusted.admitted(SHA256, trust=True, imports=str(tmp_path))
    assert trusted.admitted(SHA256, trust=False) and trusted.imports_of(SHA256) == str(tmp_path)


def test_a_ledger_that_others_may_write_to_is_none(state):
    trusted.remember(SHA256)
    (state / "trusted").chmod(0o777)
    with pytest.raises(UserError, match="chmod 700"):
        trusted.known(SHA256)
    with pytest.warns(UserWarning, match="chmod 700"):
        trusted.remember("0e" * 32)


def test_a_ledger_in_the_current_folder_is_none(monkeypatch):
    monkeypatch.setenv("COLDFRAME_STATE", "state")
    with pytest.raises(UserError, match="full path in COLDFRAME_STATE"):
        trusted.known(SHA256)


def test_where_nothing_can_be_noted_the_work_goes_on(state):
    state.write_bytes(b"a file")
    with pytest.warns(UserWarning, match="asked for again. Set COLDFRAME_STATE"):
        trusted.remember(SHA256)
