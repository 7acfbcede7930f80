"""The page in Chromium: by keys and by pointer, narrow and wide, and what it says when something is wrong."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classify.commands.label.labels import Labels
from classify.commands.label.page import routes
from classify.commands.label.pool import Pool
from classify.commands.label.session import Session
from classify.data.neighbours.cached import neighbours_of
from classify.pages.serving.app import make_app
from classify.pages.serving.pictures import Pictures
from classify.pages.serving.server import listen, serving
from tests.classify.axe import ALLOWED, passes
from tests.classify.commands.map.made import keep_pictures

FITS = "document.documentElement.scrollWidth <= innerWidth"
CLASSES = ("<b>blue</b>", "green", "שלום")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """36 pictures in three lumps of one colour, none of them labelled."""
    workspace, _ = keep_pictures(tmp_path, [0, 1, 2] * 12, CLASSES)
    data = workspace.load()
    pool = Pool.of(data, np.arange(36), neighbours_of(data))
    bare = replace(data.manifest, label=np.full(36, -1, np.int32))
    made = Session(bare, np.arange(36), pool, Labels(tmp_path / "labels.csv"))
    yield made
    made.close()


@pytest.fixture
def opened(browser: Any, session: Session) -> Iterator[Callable[..., Any]]:
    """Open the page; checks in the end that nothing was asked for elsewhere or complained of."""
    heard, listening = list[str](), listen()
    app = make_app(routes(session, "things"), listening.token, pictures=Pictures(session.manifest))

    def open_(width: int = 1280, **options: Any) -> Any:
        page = browser.new_context(viewport={"width": width, "height": 800}, **options).new_page()
        page.on("request", lambda asked: asked.url.startswith(listening.origin) or heard.append(asked.url))
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.goto(listening.address)
        page.wait_for_selector("#name:not(:empty)")
        return page

    with serving(app, listening):
        yield open_
        for context in browser.contexts:
            context.close()
    assert [line for line in heard if "Failed to load resource" not in line] == []


def step(page: Any, action: Callable[[], Any]) -> None:
    """Do what shows another picture, and wait until it does."""
    before = page.get_attribute("#picture", "src")
    action()
    page.wait_for_function(
        "old => document.getElementById('picture').getAttribute('src') !== old", arg=before
    )


def test_by_keys(opened: Callable[..., Any], session: Session) -> None:
    page = opened()
    assert page.inner_text("#choose") == "Name the first class"
    for name in CLASSES:
        page.keyboard.press("n")
        page.keyboard.insert_text(name)
        step(page, lambda: page.keyboard.press("Enter"))
    assert page.locator("#classes bdi").all_inner_texts() == list(CLASSES)
    step(page, lambda: page.keyboard.press("2"))
    step(page, lambda: page.keyboard.press("3"))
    step(page, lambda: page.keyboard.press(" "))
    assert page.inner_text("#progress") == "5 of 36 pictures labelled, 1 skipped"
    step(page, lambda: page.keyboard.press("Backspace"))
    assert page.inner_text("#progress") == "5 of 36 pictures labelled"
    page.wait_for_selector(".best")
    suggested = page.inner_text(".best bdi")
    step(page, lambda: page.keyboard.press("Enter"))
    assert [each.label for each in Labels(session.labels.path).answers] == [
        *CLASSES, "green", CLASSES[2], "", "", suggested
    ]  # fmt: skip


def test_by_pointer(opened: Callable[..., Any], session: Session) -> None:
    page = opened()
    for name in CLASSES[:2]:
        page.fill("#class", name)
        step(page, lambda: page.click("#new button"))
    step(page, lambda: page.locator("#classes button").nth(1).click())
    step(page, lambda: page.click("#skip"))
    step(page, lambda: page.click("#undo"))
    step(page, lambda: page.click("#undo"))
    answers = Labels(session.labels.path).answers
    assert [each.label for each in answers] == [CLASSES[0], "green", "green", "", "", ""]
    assert page.inner_text("#progress") == "2 of 36 pictures labelled"


def test_many_at_once_by_keys(opened: Callable[..., Any], session: Session) -> None:
    page = opened()
    for number in range(6):
        page.fill("#class", CLASSES[number % 3])
        step(page, lambda: page.press("#class", "Enter"))
    page.focus("#many")
    page.keyboard.press("Enter")
    page.wait_for_selector("#cells button")
    count = page.locator("#cells button").count()
    page.locator("#cells button").first.focus()
    page.keyboard.press(" ")
    page.locator("#accept", has_text=f"{count - 1} picture").focus()
    page.keyboard.press("Enter")
    page.locator("#progress", has_text=f"{5 + count} of").wait_for()


def test_what_is_drawn_at_random_has_no_suggestion(opened: Callable[..., Any]) -> None:
    page = opened()
    for number in range(4):
        page.fill("#class", CLASSES[number % 3])
        step(page, lambda: page.press("#class", "Enter"))
    assert "drawn at random" in page.inner_text("#why") and page.locator(".best").count() == 0
    step(page, lambda: page.keyboard.press("1"))
    assert "The head had said" in page.inner_text("#said")


@pytest.mark.parametrize("width", [400, 1280])
def test_many_at_once_by_pointer(opened: Callable[..., Any], session: Session, width: int) -> None:
    page = opened(width)
    for name in [*CLASSES, *CLASSES]:
        page.fill("#class", name)
        step(page, lambda: page.click("#new button"))
    assert page.evaluate(FITS)
    page.click("#many")
    page.wait_for_selector("#cells button")
    count = page.locator("#cells button").count()
    page.locator("#cells button").first.click()
    assert page.evaluate(FITS) and page.inner_text("#accept").startswith(f"{count - 1} picture")
    page.click("#accept")
    page.locator("#progress", has_text=f"{5 + count} of").wait_for()
    page.click("#grid-undo")
    page.locator("#progress", has_text="6 of 36").wait_for()


def test_a_full_disk_is_said_and_nothing_is_lost(
    opened: Callable[..., Any], session: Session, tiny_disk: Path
) -> None:
    session.labels = Labels(tiny_disk / "labels.csv")
    page = opened()
    page.fill("#class", "green")
    step(page, lambda: page.press("#class", "Enter"))
    (tiny_disk / "filler").write_bytes(bytes(shutil.disk_usage(tiny_disk).free))

    def kept() -> bool:
        before = page.get_attribute("#picture", "src")
        page.keyboard.press("1")
        page.wait_for_function(
            "old => !error.hidden || document.getElementById('picture').getAttribute('src') !== old",
            arg=before,
        )
        return bool(page.locator("#error").is_hidden())

    count = 1
    while kept():  # as long as the last page of the file has room
        count += 1
    assert "no space left" in page.inner_text("#error")
    assert page.inner_text("#progress") == f"{count} of 36 pictures labelled"
    assert len(Labels(session.labels.path).answers) == count
    page.fill("#class", "blue")
    page.press("#class", "Enter")
    page.wait_for_function("() => document.activeElement.id === 'class' && !error.hidden")
    (tiny_disk / "filler").unlink()
    assert page.input_value("#class") == "blue"  # what was typed is there still
    step(page, lambda: page.press("#class", "Enter"))
    assert page.locator("#error").is_hidden()
    assert [each.label for each in Labels(session.labels.path).answers] == [*["green"] * count, "blue"]


def test_two_tabs(opened: Callable[..., Any], session: Session) -> None:
    first, second = opened(), opened()
    first.fill("#class", "green")
    step(first, lambda: first.press("#class", "Enter"))
    second.fill("#class", "blue")
    step(second, lambda: second.press("#class", "Enter"))
    assert "Another window" in second.inner_text("#said")
    assert [each.label for each in session.labels.answers] == ["green"]


def test_the_figures_while_labelling(browser: Any, session: Session) -> None:
    """In random order every answer counts: after 20 of them there is all to say."""
    drawn = Session(session.manifest, np.arange(36), session.pool, session.labels, clever=False)
    listening = listen()
    app = make_app(routes(drawn, "things"), listening.token, pictures=Pictures(session.manifest))
    with serving(app, listening):
        page = browser.new_context().new_page()
        page.goto(listening.address)
        page.get_by_text("not known before pictures were drawn").wait_for()
        assert page.get_by_text("Every picture is drawn at random").is_visible()
        for _ in range(30):
            place = drawn.questions.now().place
            drawn.answer(drawn.keys[place], CLASSES[place % 3])
            drawn.questions.settle()
        drawn.questions.close()
        page.reload()
        page.locator("#tiles div").get_by_text("n = 30").wait_for()  # the figures come after the page itself
        accuracy, following, _ = page.locator("#tiles div").all()
        assert "100.0 %" in accuracy.inner_text() and "88.6 % to 100.0 %" in accuracy.inner_text()
        assert "The next 100 labels" in following.inner_text()
        assert "points of accuracy, probably" in following.inner_text()
        page.context.close()


def test_the_end(opened: Callable[..., Any], session: Session) -> None:
    page = opened(color_scheme="dark")
    session.accept("green", session.keys[:35])
    page.reload()
    page.wait_for_selector("#classes button:enabled")
    page.keyboard.press("1")
    page.wait_for_selector("#empty:not([hidden])")
    assert "Every picture has its answer" in page.inner_text("#empty")


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_every_state_fits_and_passes_axe(
    opened: Callable[..., Any], session: Session, width: int, scheme: str
) -> None:
    page = opened(width, color_scheme=scheme, **ALLOWED)

    def looks_well() -> None:
        assert page.evaluate(FITS)
        passes(page)

    looks_well()  # no class yet
    page.click("#many")
    page.get_by_text("There is no class yet").wait_for()
    looks_well()
    page.click("#one")
    for number in range(4):
        page.fill("#class", CLASSES[number % 3])
        step(page, lambda: page.press("#class", "Enter"))
    looks_well()  # drawn at random
    step(page, lambda: page.keyboard.press("1"))
    page.wait_for_selector(".best")
    looks_well()
    page.route("**/api/*", lambda route: route.abort())
    page.keyboard.press("1")
    page.get_by_text("The program does not answer").wait_for()
    looks_well()
    page.unroute_all()
    page.click("#many")
    page.wait_for_selector("#cells button")
    page.locator("#cells button").first.click()
    looks_well()
    page.click("#one")
    session.accept(
        CLASSES[0], [key for place, key in enumerate(session.keys) if not session.state.closed[place]]
    )
    page.reload()
    page.wait_for_selector("#empty:not([hidden])")
    looks_well()
