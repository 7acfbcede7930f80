from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from classify.commands.finetune.report.changed_pictures import Change, contact_sheet

pytestmark = pytest.mark.figures

ROOT = Path("pictures")


def change(outcome: str, path: str = "a.jpg") -> Change:
    before, after = {
        "mended": ("tulip", "rose"),
        "broken": ("rose", "tulip"),
        "still wrong": ("tulip", "lily"),
    }[outcome]
    return Change(path, "rose", before, after, 0.61, 0.92)


class Decoder:
    """Gives a blue picture, and counts what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Path] = []

    def __call__(self, path: Path) -> np.ndarray | None:
        self.asked.append(path)
        return None if path.name == "gone.jpg" else np.full((64, 64, 3), (0, 0, 255), np.uint8)


@pytest.fixture
def captions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was written above the pictures; it is drawn all the same."""
    found: list[str] = []
    write = Axes.set_title

    def keep(self: Axes, label: str, *arguments: Any, **keywords: Any) -> Any:
        found.append(label)
        return write(self, label, *arguments, **keywords)

    monkeypatch.setattr(Axes, "set_title", keep)
    return found


def count(data: bytes, colour: tuple[int, int, int]) -> int:
    pixels = np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int)
    return int((abs(pixels - colour).sum(axis=2) < 12).sum())


GREEN, RED, BLUE = (28, 124, 60), (179, 38, 30), (0, 0, 255)


def test_captions_and_colours_tell_mended_from_broken(captions: list[str]) -> None:
    decoder = Decoder()
    one = contact_sheet(ROOT, [change("mended", "m.jpg")], decoder)
    both = contact_sheet(ROOT, [change("broken", "b.jpg"), change("mended", "m.jpg")], decoder)
    assert count(one, GREEN) > 500 and count(one, RED) == 0
    assert count(both, GREEN) > 500 and count(both, RED) > 500
    assert count(both, BLUE) > 1.9 * count(one, BLUE) > 40_000
    # Mended first, whatever the order given.
    assert decoder.asked == [ROOT / "m.jpg", ROOT / "m.jpg", ROOT / "b.jpg"]
    assert captions[1:] == ["rose:\ntulip -> rose\n✓ 61% -> 92%", "rose:\nrose -> tulip\n✗ 61% -> 92%"]


def test_of_many_the_first_24_are_read(captions: list[str]) -> None:
    decoder = Decoder()
    outcomes = ["broken", "mended"] * 15 + ["still wrong"] * 3
    contact_sheet(ROOT, [change(each, f"{i}.jpg") for i, each in enumerate(outcomes)], decoder)
    assert sorted(int(path.stem) for path in decoder.asked) == list(range(24))
    assert [text.splitlines()[2][0] for text in captions] == ["✓"] * 12 + ["✗"] * 12


def test_a_file_that_is_gone_and_names_of_any_kind() -> None:
    odd = Change("gone.jpg", "$5 \udcff " + "x" * 50, "$\\nope$\nb", "日本", 0.0, 1.0)
    data = contact_sheet(ROOT, [odd], Decoder())
    assert data.startswith(b"\x89PNG") and count(data, BLUE) == 0 and count(data, (230, 230, 230)) > 10_000
