"""Figures depend on the cache alone: real pictures, extracted, moved and deleted."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cli import main


def figures(capsys: pytest.CaptureFixture[str], workspace: Path) -> tuple[dict, bytes]:
    """What fit-head answers, without the run's name and what took how long; and its predictions."""
    words = ["fit-head", "--workspace", str(workspace), "--no-curve", "--json", "--model", "ridge,centroid"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    run = Path(told.pop("run"))
    kept = json.loads((run / "run.json").read_text())
    heads = [{k: v for k, v in head.items() if "seconds" not in k} for head in told["heads"]]
    # But how often the test part was read, and that the folder is gone.
    notes = [note for note in kept["notes"] if "tested on" not in note and "is gone" not in note]
    return {"heads": heads, "data": kept["data_sha256"], "notes": notes}, (
        run / "predictions.csv"
    ).read_bytes()


def test_moving_or_deleting_the_folder_changes_no_figure(
    few_flowers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted(few_flowers.glob("*/*"))[::2]:
        with Image.open(path) as picture:
            picture.resize((240, 200)).save(path.with_name(f"copy-{path.name}"), quality=60)
    workspace = tmp_path / "w"
    assert main(["extract", str(few_flowers), "--workspace", str(workspace)]) == 0
    capsys.readouterr()
    first = figures(capsys, workspace)
    assert any("near copies of one another" in note for note in first[0]["notes"])
    few_flowers.rename(tmp_path / "pictures")
    assert figures(capsys, workspace) == first
    here = ["--workspace", str(workspace)]
    assert main(["show", *here]) == 1
    assert "run `extract NEWPLACE --name flowers`" in capsys.readouterr().err
    assert main(["extract", str(tmp_path / "pictures"), "--name", "flowers", *here]) == 0
    told = capsys.readouterr()
    assert "= 0 embedded +" in told.out and "the folder moved from" in told.err
    assert figures(capsys, workspace) == first
    shutil.rmtree(tmp_path / "pictures")
    assert figures(capsys, workspace) == first
    shutil.rmtree(workspace / "splits")
    assert figures(capsys, workspace) == first
