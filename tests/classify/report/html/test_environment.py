"""Pages are complete in themselves, and nothing that a file is called becomes markup or script."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import jinja2
import pytest

from classify.report.html import environment
from classify.report.html.environment import render

CHILD = """{% extends "base.html.j2" %}
{% set scripts = ["table.js"] %}
{% block title %}{{ name }}{% endblock %}
{% block main %}<p title="{{ name }}">{{ name }}</p>{% endblock %}
"""


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the templates of the room and a page of one's own."""
    for path in environment.TEMPLATES.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "child.html.j2").write_text(CHILD)
    monkeypatch.setattr(environment, "TEMPLATES", tmp_path)
    environment._environment.cache_clear()
    yield tmp_path
    environment._environment.cache_clear()


def test_a_name_stays_a_name(templates: Path) -> None:
    page = render("child.html.j2", name='<img src=x onerror="alert(1)">')
    assert "<img" not in page and page.count("&lt;img src=x onerror=&#34;alert(1)&#34;&gt;") == 3


@pytest.mark.parametrize("name", ["\udcff.jpg", "\u202egnp.jpg", "a\x1b[31m"])
def test_what_no_page_can_show_is_replaced(templates: Path, name: str) -> None:
    page = render("child.html.j2", name=name)
    page.encode("utf-8")
    assert "\N{REPLACEMENT CHARACTER}" in page and not set(name) & set("\udcff\u202e\x1b") & set(page)


def test_what_is_missing_is_an_error(templates: Path) -> None:
    with pytest.raises(jinja2.UndefinedError, match="name"):
        render("child.html.j2")


def test_the_policy_allows_the_very_script_and_no_request(templates: Path) -> None:
    page = render("child.html.j2", name="x")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    assert f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "http" not in page.replace("http-equiv", "")


def test_without_a_script_none_may_run(templates: Path) -> None:
    (templates / "child.html.j2").write_text(CHILD.replace('{% set scripts = ["table.js"] %}', ""))
    page = render("child.html.j2", name="x")
    assert "script-src 'none'" in page and "<script" not in page
