"""Show the pages of `serve` and `label` on handwritten digits: `python benchmarks/screenshots.py OUT/`.

Every state, light and dark, wide and narrow, as PNG; scikit-learn's digits, some of them labelled wrongly on purpose.
`--docs` makes those of the guide.
"""

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from cache.workspace import Workspace
from classify.commands.audit.command import audit
from classify.commands.demo import write_digits
from classify.commands.fit_head.command import fit_heads
from classify.commands.fit_head.options import FitOptions
from classify.commands.label.labels import Labels
from classify.commands.label.page import routes
from classify.commands.label.pool import Pool
from classify.commands.label.session import Session
from classify.commands.serve.command import make_pages
from classify.data.neighbours.cached import neighbours_of
from classify.pages.page import write_page
from classify.pages.serving.app import make_app
from classify.pages.serving.pictures import Pictures
from classify.pages.serving.server import listen, serving
from extract.backbones.backbone import Backbone
from extract.commands.extract import extract
from extract.settings import Decoding, Options

ROOT = Path(__file__).parents[1]
DIGITS, WRONG, ASKED = (
    600,
    8,
    90,
)  # pictures, of them labelled wrongly, and labels given before `label` is shown
DOCS = {"serve-answers": "serve.png", "label-one": "label.png", "label-many": "label-many.png"}
TALLEST = 1540  # pixels of those in the guide


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    with browser() as opened, tempfile.TemporaryDirectory() as tables:
        workspace, new = prepare(options.out / "work")
        with served(workspace) as address:
            for name, view in views(opened):
                of_serve(view, address, new, options.out, name)
        for name, view in views(opened):
            with labelling(workspace, Path(tables) / name / "labels.csv") as (session, address, truth):
                of_label(view, address, session, truth, options.out, name)
    for state, name in DOCS.items() if options.docs else ():
        reduced(options.out / f"{state}-1100-light.png", ROOT / "docs" / name)


@contextlib.contextmanager
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


def views(opened) -> Iterator:
    """Pages of each width and colour scheme, with what they are called."""
    for width in (1100, 400):
        for scheme in ("light", "dark"):
            context = opened.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            yield f"{width}-{scheme}", context.new_page()
            context.close()


def prepare(folder: Path) -> tuple[Workspace, list[Path]]:
    """Digits with a head, a page of it and an audit; and digits that it does not know."""
    write_digits(folder / "all")
    files = sorted((folder / "all").rglob("*.png"), key=lambda path: path.stem)
    for number, file in enumerate(files[:DIGITS]):
        label = int(file.parent.name)
        label = (label + 1) % 10 if number % (DIGITS // WRONG) == 7 else label
        (folder / "digits" / str(label)).mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, folder / "digits" / str(label))
    workspace = Workspace(folder / ".coldframe")
    extract(workspace, folder / "digits", Backbone.of(), Decoding(), Options())
    run = fit_heads(workspace, FitOptions(models=("logreg",), curve=False)).run
    write_page(workspace, run)
    audit(workspace)
    noise = np.random.default_rng(0).integers(0, 255, (8, 8), np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    (folder / "notes.png").write_bytes(b"These are notes.")
    return workspace, [folder / "notes.png", folder / "noise.png", files[3], files[DIGITS + 5]]


@contextlib.contextmanager
def served(workspace: Workspace) -> Iterator[str]:
    listening = listen()
    app, _ = make_pages(workspace, listening)
    with serving(app, listening) as address:
        yield address


def of_serve(page, address: str, new: list[Path], out: Path, name: str) -> None:
    page.goto(address)
    page.get_by_text("Ready.").wait_for(timeout=120_000)
    shoot(page, out / f"serve-empty-{name}.png")
    page.set_input_files("#files", new)
    page.wait_for_selector("#status:empty", state="attached", timeout=120_000)
    page.locator("summary").first.click()
    shoot(page, out / f"serve-answers-{name}.png")
    for tab in ("Audit", "Report", "Map"):
        page.get_by_role("link", name=tab, exact=True).click()
        page.wait_for_url(f"**/{tab.lower()}")
        shoot(page, out / f"serve-{tab.lower()}-{name}.png")


@contextlib.contextmanager
def labelling(workspace: Workspace, table: Path) -> Iterator:
    """A labelling of the digits without their labels; with what they are."""
    data = workspace.load()
    group = np.arange(len(data.manifest))
    pool = Pool.of(data, group, neighbours_of(data))
    bare = replace(data.manifest, label=np.full(len(group), -1, np.int32))
    names = np.array(data.manifest.classes)[data.manifest.label].tolist()
    session = Session(bare, group, pool, Labels(table))
    listening = listen()
    app = make_app(routes(session, "digits"), listening.token, pictures=Pictures(bare))
    with serving(app, listening) as address:
        yield session, address, dict(zip(session.keys, names, strict=True))
    session.close()


def of_label(page, address: str, session: Session, truth: dict[str, str], out: Path, name: str) -> None:
    page.goto(address)
    page.wait_for_selector("#name:not(:empty)")
    shoot(page, out / f"label-first-{name}.png")
    while len(session.state.order) < ASKED or session.questions.now().drawn == "random":
        key = session.keys[session.questions.now().place]
        session.answer(key, truth[key])
    session.questions.settle()
    page.reload()
    page.wait_for_selector(".best")
    shoot(page, out / f"label-one-{name}.png")
    page.click("#many")
    page.wait_for_selector("#cells button")
    for key in page.locator("#cells button").nth(1), page.locator("#cells button").nth(6):
        key.click()
    shoot(page, out / f"label-many-{name}.png")
    for label in sorted({*truth.values()}):
        session.accept(label, [key for key, name in truth.items() if name == label])
    page.click("#one")
    page.wait_for_selector("#empty:not([hidden])")
    shoot(page, out / f"label-finished-{name}.png")


def shoot(page, file: Path) -> None:
    page.wait_for_function(
        "() => [...document.images].every(each => each.complete || each.loading === 'lazy')"
    )
    page.mouse.move(0, 0)
    page.screenshot(path=file, full_page=True)


def reduced(file: Path, to: Path) -> None:
    """In few colours, for a page of text."""
    with Image.open(file) as shot:
        top = shot.convert("RGB").crop((0, 0, shot.width, min(TALLEST, shot.height)))
        top.quantize(64, dither=Image.Dither.NONE).save(to, optimize=True)
    print(f"{to}: {to.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
