"""The command line: a process that prints one address, answers there without TensorFlow, and ends with Ctrl-C."""

import json
from http.client import HTTPConnection
from pathlib import Path

import pytest

import cli
from tests.classify.commands.finetune.conftest import prepare
from tests.classify.process import interrupted, started

pytest.importorskip("starlette", reason="pip install 'coldframe[serve]'")


def test_a_process_answers_until_it_is_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = str(prepare(tmp_path).root)
    with started("serve", "--json", "--workspace", workspace) as process:
        assert process.stdout
        told = json.loads(process.stdout.readline())
        host = told["predict"].split("/")[2]
        connection = HTTPConnection(host, timeout=120)
        connection.request("GET", told["address"].partition(host)[2])
        answer = connection.getresponse()
        cookie = str(answer.headers["set-cookie"]).partition(";")[0]
        assert answer.status == 200 and b"Go on" in answer.read()
        connection.request("GET", "/", headers={"Cookie": cookie})
        assert b"What is in the picture?" in connection.getresponse().read()
        for each in sorted((tmp_path / "stripes").iterdir()):
            picture = sorted(each.glob("*.png"))[0].read_bytes()
            connection.request("POST", "/api/predict", picture, {"Authorization": f"Bearer {told['token']}"})
            found = json.load(connection.getresponse())
            assert found["classes"][0]["label"] == each.name and len(found["nearest"]) == 8
        libraries = Path(f"/proc/{process.pid}/maps")
        assert not libraries.exists() or "/tensorflow/" not in libraries.read_text()
        assert cli.main(["serve", "--workspace", workspace, "--port", host.partition(":")[2]]) == 1
        assert "Expected a port that is free" in capsys.readouterr().err
        out, err = interrupted(process)
    assert process.returncode == 0 and not out and "Traceback" not in err
