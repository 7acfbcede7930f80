"""`show`: which pictures, what is passed over, and what is refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands import show
from classify.commands.options import SampleOptions
from classify.commands.show import DrawnPictures, show_samples
from classify.report.figures import Cell
from extract.commands.manifest import survey
from extract.embedding.progress import Progress
from extract.pictures.augmentation import View


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve pictures of two classes in two parts, each of one colour, and a file that is none."""
    for i in range(12):
        path = tmp_path / f"pictures/{('train', 'test')[i % 2]}/{'ab'[i % 3 == 0]}/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 30), (20 * i, 0, 0)).save(path)
    (tmp_path / "pictures/train/a/notes.txt").write_text("no picture")
    return tmp_path / "pictures"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Cell], int]]:
    """What is drawn, and in how many columns; it is drawn all the same."""
    found, draw = [], show.picture_grid

    def keep(cells: list[Cell], columns: int, *, lines: int) -> bytes:
        found.append((cells, columns))
        return draw(cells, columns, lines=lines)

    monkeypatch.setattr(show, "picture_grid", keep)
    return found


def shown(workspace: Workspace, source: object, out: Path | None = None, **options: object) -> DrawnPictures:
    source = None if source is None else str(source)
    return show_samples(workspace, source, SampleOptions(**options), out=out)  # type: ignore[arg-type]


def test_nine_random_pictures_with_their_labels(
    workspace: Workspace, pictures: Path, tmp_path: Path, drawn: list
) -> None:
    out = tmp_path / "new/grid.png"
    found = shown(workspace, pictures, out)
    assert found.file == out and Image.open(out).format == "PNG" and found.dataset == "pictures"
    (cells, columns), files = drawn[0], [each["path"] for each in found.pictures]
    assert columns == 3 and len(cells) == len(set(files)) == 9
    for cell, picture in zip(cells, found.pictures, strict=True):
        label, name = picture["path"].split("/")[1:]
        assert picture["label"] == label and cell.caption == f"{label}\n{name}"
        assert cell.picture[0, 0, 0] == 20 * int(Path(picture["path"]).stem)
    assert files == [each["path"] for each in shown(workspace, pictures, out).pictures]
    other = [each["path"] for each in shown(workspace, pictures, out, seed=1).pictures]
    assert other != files and not workspace.runs.exists()


def test_what_is_no_picture_is_passed_over_and_counted(
    workspace: Workspace, pictures: Path, tmp_path: Path
) -> None:
    found = shown(workspace, pictures, tmp_path / "x.png", grid="10x10")
    assert len(found.pictures) == 12 and [r.path for r in found.rejects] == ["train/a/notes.txt"]
    assert found.to_json()["rejects"] == [{"path": "train/a/notes.txt", "reason": found.rejects[0].reason}]
    assert "12 pictures of pictures, 1 passed over: " in found.to_text()


def test_views_stand_beside_each_picture(
    workspace: Workspace, pictures: Path, tmp_path: Path, drawn: list
) -> None:
    random = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    for path in pictures.rglob("*.png"):
        Image.fromarray(random).save(path)
    found = shown(workspace, pictures, tmp_path / "x.png", grid="2x4", augment="strong", seed=5)
    (cells, columns), key = (
        drawn[0],
        show.hashlib.sha256(next(pictures.rglob("*.png")).read_bytes()).digest(),
    )
    assert len(found.pictures) == 2 and columns == 4
    assert [cell.caption for cell in cells[1:4]] == ["strong 1", "strong 2", "strong 3"]
    plain = cells[0].picture
    assert not any(np.array_equal(plain, cell.picture) for cell in cells[1:4])
    view = View("strong", 2, 5)
    data = next(pictures.rglob("*.png")).read_bytes()
    expected = view.apply(show.decode(data, view.source_size(224), show.Decoding()), 224, key)
    assert np.array_equal(cells[2].picture, expected) and np.array_equal(cells[6].picture, expected)


def test_one_part(workspace: Workspace, pictures: Path, tmp_path: Path) -> None:
    found = shown(workspace, pictures, tmp_path / "x.png", part="test")
    assert len(found.pictures) == 6 and all(each["path"].startswith("test/") for each in found.pictures)
    with pytest.raises(UserError, match="val part of 'pictures', which has only a train and a test part"):
        shown(workspace, pictures, part="val")
    with pytest.raises(UserError, match="no parts of its own"):
        shown(workspace, pictures / "train", part="val")


def test_a_data_set_by_name_or_the_last_one(workspace: Workspace, pictures: Path, monkeypatch) -> None:
    with pytest.raises(UserError, match=r"Nothing was extracted in .* yet"):
        shown(workspace, None)
    survey(workspace, pictures, "garden", Progress())
    first = shown(workspace, None)
    assert (first.dataset, first.file) == ("garden", workspace.runs / "001-show/samples.png")
    record = json.loads((workspace.runs / "001-show/run.json").read_text())
    assert record["pictures"] == first.pictures and record["parameters"]["grid"] == "3x3"
    assert shown(workspace, "garden").pictures == first.pictures
    with pytest.raises(
        UserError, match=r"received 'gardn': there is no such file or folder. The data sets are: garden"
    ):
        shown(workspace, "gardn")
    (pictures / "train/a/2.png").unlink()
    os.truncate(pictures / "test/a/1.png", 40)
    found = shown(workspace, "garden", grid="4x5")
    assert len(found.pictures) == 10 and len(found.rejects) == 3


@pytest.mark.parametrize("grid", ["3", "0x3", "3x0", "3x-1", "axb", "999x999", "3x3x3", ""])
def test_a_grid_that_is_none_is_refused(workspace: Workspace, pictures: Path, grid: str) -> None:
    with pytest.raises(UserError, match="Expected --grid as rows x columns, such as 3x3"):
        shown(workspace, pictures, grid=grid)


def test_other_refusals(workspace: Workspace, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="augmentation out of none, flip"):
        shown(workspace, pictures, augment="nonsense")
    with pytest.raises(UserError, match="augmentation out of none, flip"):
        shown(workspace, pictures, augment="nonsense", grid="3x1")
    with pytest.raises(UserError, match=r"two columns or more for --augment flip.*received 3x1"):
        shown(workspace, pictures, augment="flip", grid="3x1")
    with pytest.raises(UserError, match="--seed of 0 or more, received -1"):
        shown(workspace, pictures, seed=-1)
    with pytest.raises(UserError, match=r"ends in \.png, received .*x\.jpg"):
        shown(workspace, pictures, tmp_path / "x.jpg")
    for path in (tmp_path / "texts/a/1.txt", tmp_path / "texts/b/2.txt"):
        path.parent.mkdir(parents=True)
        path.write_text("text")
    with pytest.raises(UserError, match=r"received 2 files that are none, the first '[ab]/[12]\.txt'"):
        shown(workspace, tmp_path / "texts")
    assert not workspace.runs.exists()
