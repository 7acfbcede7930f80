"""The child process that converts a network runs this very code, and nothing that lies in the current folder."""

import io
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cache.errors import UserError
from extract.backbones.backbone import Backbone
from extract.backbones.calibration import Calibration
from extract.engines import choice, conversion, network_cache
from extract.engines.network_cache import Network
from tests.extract.engines.tiny import pictures, saved


@pytest.fixture(autouse=True)
def own_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, convert_apart: Callable[..., dict[str, Any]]
) -> None:
    monkeypatch.setenv("COLDFRAME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(conversion, "_child", convert_apart)


def test_the_child_answers_as_this_process_would_and_takes_no_module_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, convert_apart: Callable[..., dict[str, Any]]
) -> None:
    backbone = Backbone.of(saved(tmp_path), precision="int8")
    np.save(tmp_path / "pixels.npy", pictures(20))
    asked = backbone, str(tmp_path / "pixels.npy")
    boom = tmp_path / "boom"
    with monkeypatch.context() as elsewhere:
        (tmp_path / "mined").mkdir()
        for name in ("extract", "cache", "json", "numpy", "tensorflow", "keras", "sitecustomize"):
            (tmp_path / "mined" / f"{name}.py").write_text(f"open({str(boom)!r}, 'w')")
        elsewhere.chdir(tmp_path / "mined")
        answer = convert_apart(*asked)
    assert not boom.exists()
    assert network_cache.find(replace(backbone, calibration=Calibration.from_json(answer["calibration"])))
    assert answer == json.loads(json.dumps(conversion._answer(*asked)))


def test_what_the_child_finds_wrong_is_told_by_its_parent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights.h5"
    weights.write_bytes(b"no weights")
    backbone = Backbone.of("mobilenet_v2", str(weights), 32)

    def run(
        command: list[str], input: str, **_: Any
    ) -> subprocess.CompletedProcess[str]:  # in this very process
        monkeypatch.setattr(sys, "stdin", io.StringIO(input))
        with pytest.raises(SystemExit) as end:
            runpy.run_module(command[-1], run_name="__main__")
        return subprocess.CompletedProcess(command, end.value.code, capsys.readouterr().out, "")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(UserError, match="weights"):
        conversion.convert(backbone)


def test_the_child_runs_the_code_of_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # An editable install and the repository's own folder would both hide a wrong path.
    asked: dict[str, Any] = {}

    def run(command: list[str], env: dict[str, str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.update(command=command, path=env["PYTHONPATH"].split(os.pathsep))
        return subprocess.CompletedProcess(command, 2, "", "not today")

    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(["", "/somewhere", ""])
    )  # an empty entry is the current folder
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(conversion.Unconvertible, match="not today"):
        conversion.convert(Backbone.of("efficientnet_lite0"))
    named = asked["command"][asked["command"].index("-m") + 1]
    assert Path(asked["path"][0], *named.split(".")).with_suffix(".py") == Path(conversion.__file__)
    assert asked["path"][1:] == ["/somewhere"]


# By Python: a shell that was started in the background ignores SIGINT for ever.
INTERRUPTED = (
    f"exec {sys.executable} -c 'import os, signal; signal.signal(2, signal.SIG_DFL); os.kill(os.getpid(), 2)'"
)


def python(folder: Path, script: str) -> str:
    """Something in the place of Python."""
    (folder / "python").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "python").chmod(0o755)
    return str(folder / "python")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("kill -9 $$", "ended by SIGKILL"),
        (INTERRUPTED, "ended by SIGINT"),
        ("echo ModuleNotFoundError: No module named x >&2; exit 1", "No module named x"),
        ("echo MemoryError >&2; exit 1", "MemoryError"),
    ],
)
def test_what_is_not_the_networks_fault_is_not_remembered(
    script: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backbone, notes = Backbone.of("efficientnet_lite0"), list[str]()
    built = SimpleNamespace(name="keras", network=Network("0" * 64, 1280, 1))
    monkeypatch.setattr(choice, "KerasEngine", lambda backbone: built)
    monkeypatch.setattr(choice, "gpu_seen", lambda: False)
    monkeypatch.setattr(sys, "executable", python(tmp_path, script))
    _, engine = choice.learn_network(backbone, "litert", notes.append, fall_back=True)
    assert engine is built and why in notes[-1] and "the next run tries again" in notes[-1]
    assert choice.choose_engine("auto", backbone) == "litert"
    with pytest.raises(UserError, match="Try again, or pass --engine keras"):
        choice.learn_network(backbone, "litert", notes.append)


def test_what_is_the_networks_fault_is_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    backbone = Backbone.of("efficientnet_lite0")
    built = SimpleNamespace(name="keras", network=Network("0" * 64, 1280, 1))
    monkeypatch.setattr(choice, "KerasEngine", lambda backbone: built)
    monkeypatch.setattr(choice, "gpu_seen", lambda: False)
    answer = python(tmp_path, """echo '{"unconvertible": "Custom ops: Nothing"}'; exit 2""")
    monkeypatch.setattr(sys, "executable", answer)
    choice.learn_network(backbone, "litert", fall_back=True)
    assert choice.choose_engine("auto", backbone) == "keras"
    # Older versions remembered any failure under another name: it is tried once more.
    (record,) = network_cache.folder().glob("*.json")
    record.write_text(
        json.dumps({"weights": "0" * 64, "dim": 1280, "parameters": 1, "model": "", "refused": "x"})
    )
    assert choice.choose_engine("auto", backbone) == "litert"


@pytest.mark.parametrize(
    "text",
    ["[" * 10_000, "[]", "null", '{"weights": 1, "dim": 2, "parameters": 3}', '{"dim": []}', "\udcff"],
)
def test_what_was_kept_and_is_damaged_is_made_again(text: str) -> None:
    backbone = Backbone.of("efficientnet_lite0")
    network_cache.remember(backbone, Network("0" * 64, 1280, 1))
    assert network_cache.find(backbone) == Network("0" * 64, 1280, 1)
    (record,) = network_cache.folder().glob("*.json")
    record.write_text(text, errors="surrogateescape")
    assert network_cache.find(backbone) is None
    record.unlink()
    os.mkfifo(record)
    assert network_cache.find(backbone) is None


def test_a_converted_network_lies_in_its_folder(tmp_path: Path) -> None:
    from hashlib import sha256

    backbone, name = Backbone.of("efficientnet_lite0"), network_cache.keep_model(b"a network")
    network_cache.remember(backbone, Network("0" * 64, 1280, 1, name))
    assert network_cache.find(backbone) is not None
    outside = tmp_path / f"{sha256(b'another').hexdigest()[:32]}.tflite"
    outside.write_bytes(b"another")
    network_cache.remember(backbone, Network("0" * 64, 1280, 1, str(outside)))
    assert network_cache.find(backbone) is None
    assert asdict(Network("0" * 64, 1280, 1))["unconvertible"] == ""
