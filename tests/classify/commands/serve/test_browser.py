"""The pages of `serve` in Chromium, by mouse and by keyboard: nothing is asked for elsewhere, and axe passes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from cache.errors import UserError
from cache.workspace import Workspace
from classify.commands.serve import command
from classify.commands.serve.command import make_pages
from classify.pages.page import write_page
from classify.pages.serving.server import listen, serving
from classify.runs.folder import write_json
from tests.classify.axe import ALLOWED, passes
from tests.classify.pages.made import HOSTILE, RIGHT_TO_LEFT, make_run

pytest.importorskip("starlette", reason="pip install 'coldframe[serve]'")
FITS = "document.documentElement.scrollWidth <= innerWidth"
KEY = "a" * 64


class Open(NamedTuple):
    """A page of a browser, where it is served, and what the run was asked."""

    page: Any
    address: str
    workspace: Workspace

    def tab(self, name: str) -> Any:
        """Go to another tab."""
        self.page.get_by_role("link", name=name, exact=True).click()
        self.page.wait_for_url(f"**/{name.lower()}")  # its scripts have run by then
        return self.page


class Answering:
    """Stands for an `Answerer`, which is tested elsewhere: an answer in full, whatever the picture is."""

    classifier, classes, notes = SimpleNamespace(lanes=1), ["tulip", HOSTILE, RIGHT_TO_LEFT], ("a note",)

    def answer(self, data: bytes) -> dict[str, Any]:
        """Say all that there is to say."""
        near = {"key": KEY, "path": f"p/{HOSTILE}.png", "label": RIGHT_TO_LEFT, "similarity": 0.5}
        flagged = {**near, "flags": [{"kind": "label", "why": HOSTILE}]}
        return {
            "key": KEY,
            "run": "001-fit-head",
            "classes": [
                {"label": name, "probability": p}
                for name, p in zip(self.classes, (0.7, 0.29, 0.01), strict=True)
            ],
            "set": self.classes[:2],
            "level": 0.9,
            "unknown": True,
            "typical": 0.001,
            "nearest": [flagged] * 8,
            "copies": [flagged],
        }


@pytest.fixture
def served(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Open]]:
    """Serve a run with an audit, and open its first page; checks in the end that nothing was complained of."""
    workspace, run = make_run(tmp_path, ("tulip", HOSTILE, RIGHT_TO_LEFT))
    dataset = command.record_of(run)["dataset"]
    write_page(workspace, run)
    audit = workspace.new_run("audit")
    write_json(audit / "run.json", {"command": "audit", "dataset": dataset})
    rows = f"a.jpg,{KEY},tulip,label,rose,{HOSTILE}\nb.jpg,{'b' * 64},tulip,outlier,,odd\n"
    (audit / "issues.csv").write_text("path,key,label,kind,suggested_label,why\n" + rows)
    (audit / "mended.csv").write_text(
        f"path,label,split,key,label_was,issues\na.jpg,rose,,{KEY},tulip,label\nb.jpg,tulip,,{'b' * 64},,outlier\n"
    )
    monkeypatch.setattr("classify.models.classifier.open_classifier", lambda *_, **__: None)
    monkeypatch.setattr("classify.commands.serve.answers.Answerer.of", lambda *_: Answering())
    listening = listen()
    app, _ = make_pages(workspace, listening, run=str(run))
    contexts, heard = [], list[str]()

    def visit(width: int = 1280, **options: Any) -> Open:
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, **options))
        page = contexts[-1].new_page()
        here = (listening.origin, "data:", "blob:")
        page.on("request", lambda asked: asked.url.startswith(here) or heard.append(asked.url))
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: heard.append(dialog.message))
        page.goto(listening.address)
        page.get_by_text("Ready.").wait_for()
        return Open(page, listening.origin, workspace)

    with serving(app, listening):
        yield visit
        for context in contexts:
            context.close()
    # Pictures of KEY are nowhere, and what is told with another status than 200 is on the console of any browser.
    assert not [each for each in heard if "Failed to load resource" not in each]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture file with a name that a page must not believe."""
    from PIL import Image

    path = tmp_path / "a <b>picture.png"
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(path)
    return path


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_every_page_fits_and_passes_axe(
    served: Callable[..., Open], picture: Path, width: int, scheme: str
) -> None:
    opened = served(width, color_scheme=scheme, **ALLOWED)
    page = opened.page
    assert page.evaluate(FITS)
    passes(page)
    page.set_input_files("#files", [picture])
    page.get_by_role("heading", name="tulip").wait_for()
    assert page.evaluate(FITS) and page.get_by_text("Unlike anything").is_visible()
    assert page.locator(".near li").count() == 8 and page.get_by_text("A near copy of this").is_visible()
    passes(page)
    page.locator("summary").click()
    passes(page)
    page.fill("input[name=label]", "rose")
    page.get_by_role("button", name="Keep this label").click()
    page.get_by_text("Kept as rose.").wait_for()
    passes(page)
    opened.page.route("**/api/*", lambda route: route.abort())
    page.set_input_files("#files", [picture])
    page.locator(".card.failed").wait_for()
    assert page.evaluate(FITS)
    passes(page)
    page.unroute_all()
    for name in ("Audit", "Map", "Report"):
        opened.tab(name)
        assert page.evaluate(FITS)
        if name == "Audit":
            page.get_by_role("button", name="Accept").click()
            page.locator("[data-said=accepted]").wait_for()
            page.get_by_role("button", name="Dismiss").nth(1).click()
            page.locator("[data-said=dismissed]").wait_for()
        if name != "Report":  # a page of a run, which has tests of its own
            passes(page)


def test_a_picture_is_dropped_and_its_answer_corrected_by_keyboard(
    served: Callable[..., Open], picture: Path
) -> None:
    opened = served()
    page = opened.page
    page.keyboard.press("Tab")
    for _ in range(4):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "files"
    page.evaluate(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "<b>dropped</b>.png", {type: "image/png"}));
            document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
        }""",
        [*picture.read_bytes()],
    )
    page.get_by_role("heading", name="tulip").wait_for()
    assert page.get_by_text("<b>dropped</b>.png").is_visible()
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    page.locator("input[name=label]:focus").wait_for()
    page.keyboard.type("rose")
    page.keyboard.press("Enter")
    page.get_by_text("Kept as rose.").wait_for()
    assert ",rose,tulip," in (opened.workspace.runs / "corrections" / "corrections.csv").read_text()


def test_pictures_are_pasted_and_what_is_too_large_is_told(
    served: Callable[..., Open], picture: Path
) -> None:
    page = served().page
    page.evaluate(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "pasted.png", {type: "image/png"}));
            data.items.add(new File([new Uint8Array(33 * 2 ** 20)], "large.png", {type: "image/png"}));
            document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        }""",
        [*picture.read_bytes()],
    )
    page.get_by_text("It is larger than 32 MiB").wait_for()
    page.get_by_role("heading", name="tulip").wait_for()
    assert page.locator(".card").count() == 2 and page.locator(".card.failed").count() == 1


def test_many_are_chosen_and_one_is_corrected_by_mouse(served: Callable[..., Open], picture: Path) -> None:
    opened = served()
    page = opened.page
    with page.expect_file_chooser() as chooser:
        page.get_by_text("Choose pictures").click()
    chooser.value.set_files([picture] * 5)
    page.wait_for_selector("#status:empty", state="attached")
    assert page.locator(".card").count() == 5
    card = page.locator(".card").first
    assert card.locator(".near .flag").count() == 8 and "50 % alike" in card.locator(".near").inner_text()
    assert card.locator(".near .flag").first.inner_text() == "audit: label"
    card.get_by_text("Wrong, it is").click()
    card.get_by_label("Right label").fill(HOSTILE)
    card.get_by_role("button", name="Keep this label").click()
    card.get_by_text(f"Kept as {HOSTILE}.").wait_for()


@pytest.mark.parametrize("keys", [True, False])
def test_findings_are_decided_by_keys_and_by_mouse(served: Callable[..., Open], keys: bool) -> None:
    opened = served()
    page, folder = opened.tab("Audit"), opened.workspace.runs / "corrections"
    assert HOSTILE in page.locator(".why").first.inner_text()
    if keys:
        for key in ("ArrowDown", "a"):
            page.keyboard.press(key)
        page.locator("#accepted", has_text="1").wait_for()
        page.wait_for_selector(".finding:focus >> nth=0")
        page.keyboard.press("d")
    else:
        page.get_by_role("button", name="Accept").click()
        page.locator("#accepted", has_text="1").wait_for()
        page.get_by_role("button", name="Dismiss").nth(1).click()
    page.locator("#dismissed", has_text="1").wait_for()
    assert "a.jpg,rose" in (folder / "mended.csv").read_text()
    page.reload()
    assert page.locator("[data-said=accepted]").count() == page.locator("[data-said=dismissed]").count() == 1


def test_a_program_that_ended_is_told(served: Callable[..., Open], picture: Path) -> None:
    opened = served()
    opened.page.route("**/api/predict", lambda route: route.abort())
    opened.page.set_input_files("#files", [picture])
    opened.page.get_by_text("The program does not answer").wait_for()


def test_a_report_runs_apart(served: Callable[..., Open]) -> None:
    page = served().tab("Report")
    page.frame_locator("iframe").get_by_role("heading", level=1).wait_for()
    frame = page.frames[1]
    frame.wait_for_load_state()
    assert frame.evaluate("origin") == "null"


@pytest.mark.parametrize("width", [400, 1280])
def test_a_network_that_loads_or_cannot_be_loaded_is_told(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    go_on = Event()

    def load(*_: Any, **__: Any) -> None:
        go_on.wait()
        raise UserError("Expected a head, found none: run `fit-head`.")

    monkeypatch.setattr("classify.models.classifier.open_classifier", load)
    workspace, run = make_run(tmp_path)
    listening = listen()
    app, _ = make_pages(workspace, listening, run=str(run))
    with serving(app, listening):
        page = browser.new_context(viewport={"width": width, "height": 800}, **ALLOWED).new_page()
        page.goto(listening.address)
        page.get_by_text("The network is loading").wait_for()
        passes(page)
        go_on.set()
        page.get_by_text("Expected a head, found none").wait_for()
        passes(page)
        for tab in ("report", "map", "audit"):  # there is none of these
            page.goto(f"{listening.origin}/{tab}")
            assert page.get_by_text("python cli.py").count() == 1 and page.evaluate(FITS)
            passes(page)
        page.context.close()
