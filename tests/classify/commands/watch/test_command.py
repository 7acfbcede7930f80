"""The command line: a real network answers for pictures that arrive, and a half-copied one waits."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import cli
from classify.commands.watch import command
from tests.classify.commands.finetune.conftest import prepare
from tests.classify.commands.watch.test_watch import rows
from tests.classify.process import interrupted, started


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures of stripes, extracted, and a head on them."""
    folder = tmp_path_factory.mktemp("watch")
    prepare(folder)
    return folder


@pytest.fixture
def pictures(made: Path) -> list[bytes]:
    """One of each class."""
    return [
        next(iter(sorted(each.glob("*.png")))).read_bytes() for each in sorted((made / "stripes").iterdir())
    ]


def test_a_half_copied_picture_waits(
    made: Path,
    pictures: list[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arriving, table = tmp_path / "late.png", tmp_path / "answers.csv"
    answered: list[list[str]] = []
    (tmp_path / "first.png").write_bytes(pictures[0])

    def nothing() -> None:
        """Let it look again."""

    def end() -> None:
        raise KeyboardInterrupt

    # One step between two looks: of a copy that goes on, no two looks see the same size.
    copy: list[Callable[[], object]] = [
        lambda size=size: arriving.write_bytes(pictures[1][:size]) for size in (100, 900, len(pictures[1]))
    ]
    steps = iter([*copy, nothing, end])

    def sleep(seconds: float) -> None:
        answered.append([row["path"] for row in rows(table)] if table.exists() else [])
        next(steps)()

    monkeypatch.setattr(command, "time", SimpleNamespace(sleep=sleep))
    words = ["watch", str(tmp_path), "--workspace", str(made / ".coldframe"), "--json"]
    assert cli.main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert answered == [[], *[["first.png"]] * 3, ["first.png", "late.png"]]
    assert told["pictures"] == 2 and told["rejects"] == 0
    assert [row["label"] for row in rows(table)] == ["class 0", "class 1"]


def test_a_process_answers_for_what_arrives(made: Path, pictures: list[bytes], tmp_path: Path) -> None:
    words = ["watch", str(tmp_path), "--workspace", str(made / ".coldframe"), "--every", "0.05s", "--json"]
    with started(*words) as process:
        assert process.stderr
        heard = iter(process.stderr.readline, "")
        assert any("Ctrl-C ends it" in line for line in heard)
        for number, data in enumerate(pictures):
            (tmp_path / "coming").mkdir(exist_ok=True)
            (tmp_path / "coming" / ".part").write_bytes(data)
            (tmp_path / "coming" / ".part").rename(tmp_path / "coming" / f"{number}.png")
            assert any(line.startswith(f"coming/{number}.png: class {number}") for line in heard)
        (tmp_path / "none.png").write_bytes(b"none")
        assert any(line.startswith("rejected none.png: no picture") for line in heard)
        out, _ = interrupted(process)
    assert process.returncode == 0
    assert json.loads(out) | {"run": ""} == {
        "file": str(tmp_path / "answers.csv"), "run": "", "pictures": 3, "rejects": 1, "notes": []
    }  # fmt: skip
    assert [(row["path"], row["label"]) for row in rows(tmp_path / "answers.csv")] == [
        *((f"coming/{number}.png", f"class {number}") for number in range(3)), ("none.png", "")
    ]  # fmt: skip
