"""The page in Chromium: it asks for nothing, and pointer, lasso, legend, keys and fingers do what they should."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from classify.commands.map.command import draw_map
from extract.sources.tables.table import read_table
from tests.classify.commands.map.made import answer, keep_pictures

HOSTILE = "<img src=x onerror=alert(1)>"
CLASSES = (HOSTILE, '=cmd(), "quoted"', "שלום " + "long " * 60)
FITS = "document.documentElement.scrollWidth <= innerWidth"
CORNERS = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 pictures in three lumps of one colour, with answers."""
    workspace, manifest = keep_pictures(tmp_path_factory.mktemp("map"), [0, 1, 2] * 12, CLASSES)
    answer(workspace, manifest)
    return draw_map(workspace).file


def around_all(opened: Any) -> None:
    """Draw a line around the whole map, with Shift."""
    box = opened.locator("#canvas").bounding_box()
    places = [(box["x"] + a * box["width"], box["y"] + 60 + b * (box["height"] - 61)) for a, b in CORNERS]
    opened.keyboard.down("Shift")
    opened.mouse.move(*places[0])
    opened.mouse.down()
    for place in places[1:]:
        opened.mouse.move(*place, steps=3)
    opened.mouse.up()
    opened.keyboard.up("Shift")


def saved(opened: Any, folder: Path) -> list[dict[str, str]]:
    """Save the selection, and read it."""
    with opened.expect_download() as download:
        opened.click("#save")
    assert download.value.suggested_filename == "things-selection.csv"
    download.value.save_as(folder / "selection.csv")
    return list(csv.DictReader((folder / "selection.csv").open(encoding="utf-8", newline="")))


@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_and_asks_for_nothing(visit: Callable[..., Any], page: Path, width: int) -> None:
    opened = visit(page, width)
    assert opened.evaluate(FITS)
    assert opened.locator("#legend li").count() == 3 and HOSTILE in opened.locator("#legend").inner_text()
    assert opened.locator("#shown").inner_text() == "36 pictures shown"


def test_it_says_what_it_is_without_script(visit: Callable[..., Any], page: Path) -> None:
    opened = visit(page, java_script_enabled=False)
    assert (
        opened.get_by_text("The map is drawn by the script").is_visible()
        and not opened.locator("#map").is_visible()
    )
    assert "Trustworthiness" in opened.locator("#trust").inner_text()


def test_a_picture_is_shown_under_the_pointer(visit: Callable[..., Any], page: Path) -> None:
    opened = visit(page)
    box = opened.locator("#canvas").bounding_box()
    x, y = opened.evaluate("[screenX(5), screenY(5)]")
    opened.mouse.move(box["x"] + x, box["y"] + y)
    card = opened.locator("#card")
    assert "5.png" in card.inner_text() and CLASSES[2].strip() in card.inner_text()
    place = card.locator(".sheet").evaluate("e => getComputedStyle(e).backgroundPosition")
    assert place == "100% 0%"  # the sixth of six columns, in the first row
    opened.mouse.move(box["x"] + 3, box["y"] + box["height"] - 3)
    assert not card.is_visible()


def test_what_the_lasso_is_drawn_around_is_saved(
    visit: Callable[..., Any], page: Path, tmp_path: Path
) -> None:
    opened = visit(page)
    around_all(opened)
    assert (
        opened.locator("#count").inner_text() == "36 pictures selected"
        and opened.locator("#found li").count() == 36
    )
    assert opened.locator("#kinds span").count() == 3 and opened.locator("#kinds").inner_text().startswith(
        "12 "
    )
    rows = saved(opened, tmp_path)
    assert [row["path"] for row in rows] == [f"{number}.png" for number in range(36)]
    assert [row["label"] for row in rows[:3]] == [CLASSES[0], "'" + CLASSES[1], CLASSES[2]]
    table = (tmp_path / "selection.csv").rename(page.parents[2] / "things" / "selection.csv")
    again = read_table(table).manifest
    assert len(again) == 36 and set(again.classes) == {name.strip() for name in CLASSES}
    opened.click("#clear")
    assert not opened.locator("#save").is_visible()


def test_the_legend_filters(visit: Callable[..., Any], page: Path, tmp_path: Path) -> None:
    opened = visit(page)
    opened.locator("#legend button").nth(0).click()
    assert opened.locator("#shown").inner_text() == "24 of 36 pictures shown"
    around_all(opened)
    assert len(saved(opened, tmp_path)) == 24
    opened.get_by_label(f"only {CLASSES[1]}").click()
    assert opened.locator("#shown").inner_text() == "12 of 36 pictures shown"
    assert opened.locator("#count").inner_text() == "12 pictures selected"
    opened.click("#all")
    assert opened.locator("#shown").inner_text() == "36 pictures shown"


def test_colours_are_by_what_is_chosen(visit: Callable[..., Any], page: Path) -> None:
    opened = visit(page)
    opened.get_by_role("radio", name="Right or wrong").click()
    assert opened.locator("#legend").inner_text().split("\n")[::3] == ["wrong", "right", "not known"]
    opened.keyboard.press("ArrowRight")
    assert opened.get_by_role("radio", name="Part").get_attribute("aria-checked") == "true"
    assert opened.locator("#legend li").count() == 3


def test_keys_do_the_same(visit: Callable[..., Any], page: Path) -> None:
    opened = visit(page)
    opened.locator("#canvas").focus()
    opened.evaluate("near = order.reduce((a, b) => screenX(a) < screenX(b) ? a : b)")  # the leftmost
    for key, further in (("ArrowRight", "screenX(near)"), ("ArrowLeft", "-screenX(near)")):
        before = opened.evaluate(further)
        opened.keyboard.press(key)
        assert opened.evaluate(further) > before and opened.locator("#card b").is_visible()
    opened.keyboard.press("Enter")
    assert opened.locator("#count").inner_text() == "1 picture selected"
    opened.keyboard.press("a")
    assert opened.locator("#count").inner_text() == "36 pictures selected"
    opened.keyboard.press("Escape")
    assert not opened.locator("#save").is_visible()
    opened.keyboard.press("p")
    assert opened.locator("#pictures").get_attribute("aria-pressed") == "true"
    before = opened.evaluate("scale")
    opened.keyboard.press("+")
    assert opened.evaluate("scale") == pytest.approx(before * 1.4)
    opened.keyboard.press("0")
    assert opened.evaluate("scale") == pytest.approx(before)


def test_a_finger_points_and_draws(visit: Callable[..., Any], page: Path) -> None:
    opened = visit(page, 400, has_touch=True)
    box = opened.locator("#canvas").bounding_box()
    x, y = opened.evaluate("[screenX(7), screenY(7)]")
    opened.touchscreen.tap(box["x"] + x, box["y"] + y)
    assert opened.locator("#card").is_visible() and not opened.locator("#save").is_visible()
    opened.tap("#lasso")
    finger = opened.context.new_cdp_session(opened)
    places = [
        {"x": box["x"] + a * box["width"], "y": box["y"] + 60 + b * (box["height"] - 62)} for a, b in CORNERS
    ]
    for kind, place in [("touchStart", places[0]), *(("touchMove", each) for each in places[1:])]:
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [place]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert opened.locator("#count").inner_text() == "36 pictures selected"


def test_what_got_into_a_page_would_not_run(browser: Any, page: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.html"
    text = page.read_text("utf-8").replace(
        "<main>", "<main><img src=x onerror='document.title=1'><script>document.title=2</script>"
    )
    other.write_text(text, "utf-8")
    context = browser.new_context()
    opened = context.new_page()
    said = list[str]()
    opened.on("console", lambda message: said.append(message.text))
    opened.goto(other.as_uri())
    assert opened.title() == "Map of things" and len(said) >= 2
    assert all("Content Security Policy" in each for each in said)
    context.close()
