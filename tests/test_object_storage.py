"""Pictures and workspace in a store of objects, from the command line; each command on a machine without copies."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import cli
from cache.storage.remote import mirror
from cache.storage.remote.objects import Objects
from tests.store_of_objects import Server, upload

pytestmark = pytest.mark.remote


def test_from_pictures_to_answers(few_flowers: Path, s3: Server, capsys: pytest.CaptureFixture[str]) -> None:
    upload(few_flowers, "s3://bucket/all/flowers")
    workspace = "s3://bucket/all/cache"

    def run(*words: str) -> Any:
        for copy in mirror._mirrors:
            shutil.rmtree(copy)
        mirror._mirrors.clear()
        assert cli.main([*words, "--workspace", workspace, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    done = run("extract", "s3://bucket/all/flowers")
    assert (done["embedded"], done["rejected"]) == (40, 0)
    assert run("extract", "s3://bucket/all/flowers")["cached"] == 40
    run("fit-head", "--model", "centroid", "--no-curve")
    answers = run("predict", "s3://bucket/all/flowers/daisy")
    assert len(answers) == 8
    there = {found.path for found in Objects(workspace).list()}
    assert {
        "runs/001-fit-head/run.json",
        "runs/001-fit-head/report.html",
        "runs/002-predict/predictions.csv",
    } <= there
    assert [each["number"] for each in run("runs", "ls")] == [1, 2]
    run("runs", "rm", "2")
    assert not [path for path in {found.path for found in Objects(workspace).list()} if "002-predict" in path]
    assert run("cache", "verify")["damaged"] == []
    assert run("cache", "gc")["temporary"] == 0
