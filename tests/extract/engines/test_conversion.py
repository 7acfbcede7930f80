"""The child process that converts a network finds this very code."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from extract.backbones.backbone import Backbone
from extract.engines import conversion


def test_the_child_runs_the_code_of_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # An editable install and the repository's own folder would both hide a wrong path.
    asked: dict[str, Any] = {}

    def run(command: list[str], env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.update(command=command, path=env["PYTHONPATH"].split(os.pathsep)[0])
        return subprocess.CompletedProcess(command, 2, "", "not today")

    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(conversion.Unconvertible, match="not today"):
        conversion.convert(Backbone.of("efficientnet_lite0"))
    named = asked["command"][asked["command"].index("-m") + 1]
    assert Path(asked["path"], *named.split(".")).with_suffix(".py") == Path(conversion.__file__)
