"""Which pictures are odd: planted ones, against CleanVision, and what is usual is not odd."""

from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from classify.data.pixels import KINDS, Oddity, oddities
from extract.pictures.decoding import decode_whole
from extract.pictures.facts import Facts
from extract.settings import Decoding

SOUND = Facts(*np.array([[320, 240, 0.5, 0.2, 0.1, 0.95, 7.5, 1.1]] * 20, np.float32).T)


def of(facts: Facts) -> dict[str, Oddity]:
    return {each.kind.name: each for each in oddities(facts)}


def changed(row: int, **facts: float) -> Facts:
    columns = {}
    for name, value in facts.items():
        columns[name] = getattr(SOUND, name).copy()
        columns[name][row] = value
    return replace(SOUND, **columns)


@pytest.mark.parametrize(
    ("kind", "facts", "why"),
    [
        ("dark", {"brightest": 0.2}, "99 % of it is darker than 20% of white"),
        ("bright", {"darkest": 0.97}, "95 % of it is brighter than 97% of white"),
        (
            "blurred",
            {"sharpness": 0.3},
            "its finest detail is 0.30 as strong as its slopes, where 1.1 is usual",
        ),
        ("plain", {"entropy": 0.5}, "its pixels have 0.5 bits of information, of 8"),
        ("odd shape", {"width": 900}, "it is 900 x 240 pixels"),
        ("odd size", {"width": 40, "height": 30}, "it is 40 x 30 pixels, unlike the others"),
    ],
)
def test_one_odd_picture_is_found_and_said(kind: str, facts: dict[str, float], why: str) -> None:
    assert not any(len(each.rows) for each in oddities(SOUND))
    found = of(changed(7, **facts))
    assert found[kind].rows.tolist() == [7] and found[kind].kind.why(changed(7, **facts), 7) == why
    assert [name for name, each in found.items() if len(each.rows)] in ([kind], ["odd shape", "odd size"])
    assert ((found[kind].score >= 0) & (found[kind].score <= 1)).all()


def test_the_oddest_comes_first() -> None:
    facts = changed(3, brightest=0.25)
    facts.brightest[11] = 0.05
    assert of(facts)["dark"].rows.tolist() == [11, 3]


def test_what_many_are_is_what_these_pictures_are_like() -> None:
    facts = replace(SOUND, brightest=np.where(np.arange(20) < 5, 0.1, 0.9).astype(np.float32))
    dark = of(facts)["dark"]
    assert len(dark.rows) == 0 and dark.usual == 5


def test_unknown_facts_are_odd_in_no_way() -> None:
    unknown = Facts(*np.full((8, 6), np.nan, np.float32))
    assert all(len(each.rows) == 0 and np.isnan(each.score).all() for each in oddities(unknown))
    facts = changed(4, **dict.fromkeys(Facts.__dataclass_fields__, np.nan))
    assert all(np.isnan(each.score[4]) and np.isfinite(each.score[:4]).all() for each in oddities(facts))
    assert len(oddities(Facts(*np.empty((8, 0), np.float32)))) == len(KINDS)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Facts, dict[str, list[int]]]:
    """40 pictures like photographs, 12 of them spoilt: the folder, the facts, and rows by CleanVision's kind."""
    folder, rng = tmp_path_factory.mktemp("planted"), np.random.default_rng(0)
    spoil = {
        "dark": lambda picture: ImageEnhance.Brightness(picture).enhance(0.15),
        "light": lambda picture: Image.blend(picture, Image.new("RGB", picture.size, "white"), 0.99),
        "blurry": lambda picture: picture.filter(ImageFilter.GaussianBlur(12)),
        "low_information": lambda picture: Image.new("RGB", picture.size, (120, 130, 90)),
        "odd_aspect_ratio": lambda picture: picture.resize((320, 80)),
        "odd_size": lambda picture: picture.resize((24, 18)),
    }
    rows, facts = dict[str, list[int]](), []
    for row in range(40):
        layers = [rng.integers(0, 256, (3 * 2**n, 4 * 2**n, 3), np.uint8) for n in range(1, 7)]
        large = [Image.fromarray(each).resize((320, 240), Image.Resampling.BICUBIC) for each in layers]
        picture = Image.fromarray(np.mean([np.asarray(each) for each in large], axis=0).astype(np.uint8))
        picture = ImageEnhance.Contrast(picture).enhance(2.5)
        if row < 12:
            kind = list(spoil)[row // 2]
            picture = spoil[kind](picture)
            rows.setdefault(kind, []).append(row)
        picture.save(folder / f"{row:02d}.png")
        facts.append(decode_whole((folder / f"{row:02d}.png").read_bytes(), 224, Decoding())[2])
    return folder, Facts(*np.stack(facts).T), rows


NAMES = {
    "dark": "dark",
    "light": "bright",
    "blurry": "blurred",
    "low_information": "plain",
    "odd_aspect_ratio": "odd shape",
    "odd_size": "odd size",
}


def test_planted_ones_are_found(planted: tuple[Path, Facts, dict[str, list[int]]]) -> None:
    _, facts, rows = planted
    found = of(facts)
    for kind, expected in rows.items():
        assert set(expected) <= set(found[NAMES[kind]].rows.tolist()), kind
    assert all(each.rows.max() < 12 for each in found.values())


def test_what_cleanvision_finds_is_found(planted: tuple[Path, Facts, dict[str, list[int]]]) -> None:
    imagelab = pytest.importorskip("cleanvision", reason="an oracle of the extra `test`").Imagelab
    folder, facts, rows = planted
    lab = imagelab(data_path=str(folder), verbose=False)
    lab.find_issues({kind: {} for kind in rows}, n_jobs=1, verbose=False)
    place = [int(Path(path).stem) for path in lab.issues.index]
    found = of(facts)
    for kind in rows:
        theirs = {row for row, odd in zip(place, lab.issues[f"is_{kind}_issue"], strict=True) if odd}
        mine = set(found[NAMES[kind]].rows.tolist())
        assert theirs <= mine | (set(rows["low_information"]) if kind == "blurry" else set()), kind
        score = dict(zip(place, lab.issues[f"{kind}_score"], strict=True))
        if kind in ("dark", "light", "odd_aspect_ratio"):  # the same figure, of luma and a sample
            ours = found[NAMES[kind]].score
            assert [score[row] for row in range(40)] == pytest.approx(ours.tolist(), abs=0.06)
    assert len(astuple(facts)) == 8
