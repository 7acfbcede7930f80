"""A small real data set in a workspace: scikit-learn's digits, whose 64 pixels stand for an embedding."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cache.manifest import Manifest
from cache.workspace import Workspace
from tests.classify.samples import SPACE, make_manifest


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """(600, 64) float32 in [0, 1] and (600,) class names that look like numbers."""
    X, y = load_digits(return_X_y=True)
    return (X[:600] / 16).astype(np.float32), y[:600].astype(str)


@pytest.fixture
def build(tmp_path: Path) -> Callable[[Manifest, np.ndarray], Workspace]:
    """Put a manifest and its embeddings into a workspace, as `extract` leaves it."""

    def build(manifest: Manifest, X: np.ndarray) -> Workspace:
        workspace = Workspace(tmp_path / ".coldframe").create()
        workspace.store(SPACE).add(manifest.key, X)
        workspace.save_manifest("digits", manifest)
        workspace.remember(dataset="digits", space=SPACE.id)
        return workspace

    return build


@pytest.fixture
def workspace(digits: tuple[np.ndarray, np.ndarray], build: Callable[..., Workspace]) -> Workspace:
    """The first 300 digits, ready for `fit_heads`."""
    X, y = digits
    return build(make_manifest(y[:300].astype(int), tuple("0123456789")), X[:300])


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window, by Playwright; skipped where either is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright: pages are opened by it")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on the path (Debian: apt-get install chromium): pages are opened in it")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a file: gives Playwright's page, and checks in the end that nothing was asked for or complained of."""
    contexts, heard = [], list[str]()

    def visit(file: Path, width: int = 1280, **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, **options))
        page, address = contexts[-1].new_page(), file.resolve().as_uri()
        page.on("request", lambda asked: asked.url.startswith((address, "data:")) or heard.append(asked.url))
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: heard.append(dialog.message))
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not heard
