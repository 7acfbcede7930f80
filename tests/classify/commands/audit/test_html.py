"""The page in Chromium: it asks for nothing, complains of nothing, fits on a phone, and its table can be searched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cache.manifest import Manifest
from cache.workspace import Workspace
from classify.commands.audit.command import audit
from classify.commands.audit.report import html
from tests.classify.samples import make_manifest

HOSTILE, LONG, RIGHT_TO_LEFT = "<img src=x onerror=document.title=1>", "long " * 60, "שושנה"


@pytest.fixture
def page(build: Callable[[Manifest, np.ndarray], Workspace], tmp_path: Path) -> Path:
    """Of four wrong labels among pictures with names of all kinds; the files of half of them are there."""
    label = np.arange(120) % 3
    truth = label.copy()
    label[:4] = (label[:4] + 1) % 3
    manifest = make_manifest(label, (HOSTILE, LONG, RIGHT_TO_LEFT))
    manifest.root = str(tmp_path)
    manifest.paths = ["a \"quoted\" 'file'.png", f"{'x' * 200}.png", *manifest.paths[2:]]
    chance = np.random.default_rng(0)
    rows = np.eye(64)[truth] + chance.normal(scale=0.05, size=(120, 64))
    workspace = build(manifest, rows.astype(np.float32))
    return audit(workspace, planted=0.1, seeds=1).run / "report.html"


@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_and_asks_for_nothing(visit: Callable[..., Any], page: Path, width: int) -> None:
    opened = visit(page, width)
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.locator("#label .surest > li").count() == 4
    assert HOSTILE in " ".join(opened.locator("#label").all_inner_texts())
    assert "95 % interval" in opened.inner_text("header >> nth=0") and opened.locator("#trust").count() == 1


def test_the_table_of_issues_is_searched(visit: Callable[..., Any], page: Path) -> None:
    opened = visit(page)
    rows = opened.locator("#issues tbody tr:visible")
    whole = rows.count()
    opened.get_by_label("any kind").select_option(label="label")
    assert rows.count() == 4 <= whole
    opened.get_by_label("Find a name").fill("quoted")
    assert rows.count() == 1


def test_each_picture_of_a_gallery_is_named(visit: Callable[..., Any], page: Path) -> None:
    opened = visit(page)
    titles = opened.locator(".big-pics > li")
    assert titles.count() > 0
    for item in titles.all():
        assert (item.get_attribute("title") or "?").rpartition("/")[2] in item.inner_text() or item.locator(
            "bdi[title]"
        ).count()


def test_it_is_read_without_script(visit: Callable[..., Any], page: Path) -> None:
    opened = visit(page, java_script_enabled=False)
    assert opened.locator("#issues tbody tr:visible").count() >= 4
    assert opened.locator("form:visible, th button").count() == 0


def test_the_same_audit_makes_the_same_page_with_each_picture_once(
    build: Callable[[Manifest, np.ndarray], Workspace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = np.arange(60) % 2
    truth = label.copy()
    label[0] = 1
    manifest, chance = make_manifest(label, ("a", "b")), np.random.default_rng(0)
    manifest.root = str(tmp_path)
    found = audit(
        build(manifest, (np.eye(64)[truth] + chance.normal(scale=0.05, size=(60, 64))).astype(np.float32))
    )
    pixels = chance.integers(0, 255, (60, 8, 8, 3), np.uint8)
    asked = list[int]()

    def of_rows(manifest: Manifest, rows: list[int], side: int) -> dict[int, str]:
        asked.extend(rows)
        return {row: f"data:image/png;base64,{Image.fromarray(pixels[row]).tobytes().hex()}" for row in rows}

    monkeypatch.setattr(html, "of_rows", of_rows)
    first = html.html(found)
    assert first == html.html(found) and len(asked) == 2 * len(set(asked))
    assert all(first.count(f"{pixels[row].tobytes().hex()}") == 1 for row in asked)
