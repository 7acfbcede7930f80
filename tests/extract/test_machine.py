import os
import platform

import joblib
import pytest

from extract.machine import import_keras_quietly, usable_cores


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= usable_cores() == joblib.cpu_count() <= (os.cpu_count() or 1)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert usable_cores() == 1


@pytest.mark.parametrize(
    ("machine", "said", "found"), [("x86_64", None, "1"), ("x86_64", "0", "0"), ("aarch64", None, None)]
)
def test_tensorflow_is_told_to_use_onednn_unless_told_otherwise(
    machine: str, said: str | None, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_keras_quietly()  # for good, with what this machine has
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", said or "")
    if said is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    import_keras_quietly()
    assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == found
