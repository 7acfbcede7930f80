"""The pages in Chromium: they ask for nothing, complain of nothing, and fit on a phone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from classify.pages.page import write_page
from classify.pages.pair import write_pair
from tests.classify.pages.made import HOSTILE, LONG, RIGHT_TO_LEFT, make_run

FITS = "document.documentElement.scrollWidth <= innerWidth"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Of a run with names of all kinds."""
    names = ["\"quoted\" 'file'.png", f"{'x' * 200}.png"]
    return write_page(*make_run(tmp_path, (HOSTILE, LONG, RIGHT_TO_LEFT), n=60, mistakes=20, paths=names))


@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_and_asks_for_nothing(visit: Callable[..., Any], page: Path, width: int) -> None:
    opened = visit(page, width)
    assert opened.evaluate(FITS)
    assert HOSTILE in opened.locator(".panel h3").all_inner_texts()


def test_the_table_is_sorted_and_filtered(visit: Callable[..., Any], page: Path) -> None:
    opened = visit(page)
    table = opened.locator("[data-table]")
    rows = table.locator("tbody tr:visible")
    assert rows.count() == 60 and table.locator("output").inner_text() == "60 of 60"
    table.get_by_label("mistakes only").check()
    assert rows.count() == 20
    table.get_by_label("any label").select_option(label=RIGHT_TO_LEFT)
    assert 0 < rows.count() < 20 and {RIGHT_TO_LEFT} == set(rows.locator("td:nth-child(2)").all_inner_texts())
    table.get_by_label("Find a name").fill("quoted")
    assert rows.count() == 0
    table.get_by_label("any label").select_option("")
    assert rows.count() == 1
    table.get_by_label("Find a name").fill("")
    table.get_by_label("mistakes only").uncheck()
    for way in (True, False):
        table.get_by_role("button", name="Probability").click()
        shown = [float(text.rstrip("%")) for text in rows.locator("td:nth-child(4)").all_inner_texts()]
        assert shown == sorted(shown, reverse=way) and len(set(shown)) > 1


def test_it_is_read_without_script(visit: Callable[..., Any], page: Path) -> None:
    opened = visit(page, java_script_enabled=False)
    assert "66.7%" in opened.inner_text("header >> nth=0")
    assert opened.locator("[data-table] tbody tr:visible").count() == 60
    assert opened.locator("form:visible, th button").count() == 0


def test_what_got_into_a_page_would_neither_run_nor_ask(browser: Any, page: Path) -> None:
    there = "<main><img src=x onerror='document.title=1'><img src='http://127.0.0.1:9/x'><script>document.title=1</script>"
    page.write_text(page.read_text("utf-8").replace("<main>", there), "utf-8")
    context, said, asked = browser.new_context(), list[str](), list[str]()
    opened = context.new_page()
    opened.on("console", lambda message: said.append(message.text))
    opened.on("requestfinished", lambda request: asked.append(request.url))
    opened.goto(page.as_uri())
    assert opened.title().startswith("66.7 %") and len(said) >= 3
    assert all("Content Security Policy" in each for each in said)
    assert [each for each in asked if not each.startswith("data:")] == [page.as_uri()]
    context.close()


@pytest.mark.parametrize("width", [400, 1280])
def test_two_runs_fit(visit: Callable[..., Any], tmp_path: Path, width: int) -> None:
    classes = HOSTILE, LONG, RIGHT_TO_LEFT
    workspace, one = make_run(tmp_path, classes, mistakes=4)
    _, two = make_run(tmp_path, classes, mistakes=9, name="002-fit-head", seed=1)
    assert visit(write_pair(workspace, one, two)[0], width).evaluate(FITS)
