"""Beside a mistake stand the training pictures most like it: none of its copies, and none that was tested."""

from pathlib import Path

import numpy as np
import pytest

from cache.workspace import Workspace
from classify.pages import nearest
from classify.pages.nearest import nearest_training
from classify.pages.page import write_page
from classify.pages.run import read_run
from classify.runs import scores
from classify.runs.scores import Scores
from tests.classify.pages.made import make_run
from tests.classify.samples import SPACE


@pytest.fixture
def scored(tmp_path: Path) -> tuple[Workspace, Path]:
    """A run whose pictures lie on a circle in their order, ten of them tested; the eleventh is a copy of the tenth."""
    workspace, folder = make_run(tmp_path)
    manifest = workspace.manifest("made")
    angle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    workspace.store(SPACE).create().add(manifest.key, rows)
    group = np.arange(30, dtype=np.int32)
    group[10] = 9
    part = np.where(np.arange(30) < 10, 2, 0).astype(np.uint8)
    likely = np.eye(3, dtype=np.float32)[manifest.label]
    fold = np.zeros(30, np.int16)
    found = Scores(
        manifest.classes, manifest.key, tuple(manifest.paths), manifest.label, part, fold, group, likely
    )
    scores.write(folder, found)
    return workspace, folder


def test_the_most_similar_training_pictures_come_first(scored: tuple[Workspace, Path]) -> None:
    workspace, folder = scored
    found = nearest_training(workspace, read_run(folder), ["9.png", "0.png", "gone.png"])
    assert list(found) == ["9.png", "0.png"]
    assert [path for path, _ in found["9.png"]] == [f"{row}.png" for row in (11, 12, 13, 14, 15)]
    assert {path for path, _ in found["0.png"]} == {f"{row}.png" for row in (25, 26, 27, 28, 29)}
    assert [name for _, name in found["9.png"]] == ["c", "a", "b", "c", "a"]


def test_they_stand_on_the_page(scored: tuple[Workspace, Path]) -> None:
    page = write_page(*scored).read_text("utf-8")
    assert "the training pictures most like it" in page and page.count('class="pics strip"') == 4


def test_without_rows_or_scores_or_of_too_many_there_are_none(
    scored: tuple[Workspace, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, folder = scored
    with monkeypatch.context() as patch:
        patch.setattr(nearest, "MOST", 19)
        assert not nearest_training(workspace, read_run(folder), ["9.png"])
    assert nearest_training(workspace, read_run(folder), ["9.png"])
    for shard in (workspace.root / "spaces").rglob("*.h5"):
        shard.unlink()
    assert not nearest_training(Workspace(workspace.root), read_run(folder), ["9.png"])
    (folder / "scores.h5").unlink()
    assert not nearest_training(workspace, read_run(folder), ["9.png"])
    assert "the training pictures most like it" not in write_page(workspace, folder).read_text("utf-8")
