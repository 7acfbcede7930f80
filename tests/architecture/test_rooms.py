"""No room is overfull, and the page about the house draws the rooms that there are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["cache", "extract", "classify"]


def entries(folder: Path) -> list[Path]:
    """Files and rooms of a folder, its face aside."""
    rooms = [path for path in folder.iterdir() if path.is_dir() and list(path.glob("*.py"))]
    return rooms + [path for path in folder.glob("*.py") if path.name != "__init__.py"]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_is_overfull(package: str) -> None:
    assert len(entries(ROOT / package)) <= 10
    for face in (ROOT / package).rglob("__init__.py"):
        assert len(list(face.parent.glob("*.py"))) - 1 <= 11, face.parent


@pytest.mark.parametrize("package", PACKAGES)
def test_the_house_is_as_drawn(package: str) -> None:
    picture = (ROOT / "docs" / "architecture.md").read_text("utf-8").split("```")[1]
    words = set(picture.replace(",", " ").split())
    rooms = {path.name for path in entries(ROOT / package) if path.is_dir()}
    assert rooms and rooms <= words


@pytest.mark.parametrize("package", PACKAGES)
def test_the_doors_of_a_room_are_there(package: str) -> None:
    told = 0
    for face in (ROOT / package).rglob("__init__.py"):
        doors = (ast.get_docstring(ast.parse(face.read_text())) or "").partition("Doors: ")[2]
        for file, name in re.findall(r"`(\w+)\.(\w+)`", doors):
            text = (face.parent / f"{file}.py").read_text()
            assert re.search(rf"^(class |def |){name}\b", text, re.M), f"{face.parent.name}: {file}.{name}"
            told += 1
    assert told
