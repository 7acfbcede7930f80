"""Figures of Matplotlib inside a page."""

import re
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from classify.report.figures import new_figure
from classify.report.html.svg import svg

pytestmark = pytest.mark.figures


def drawn(text: str = "a line", colour: str = "#1f5fa8") -> Figure:
    figure = new_figure(3, 2)
    axes = figure.subplots()
    axes.plot([0, 1], [1, 3], color=colour, label=text)
    axes.set_title(text, parse_math=False)
    axes.legend()
    return figure


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert svg(drawn()) == svg(drawn())


def test_two_figures_share_no_id() -> None:
    ids = [set(re.findall(r'id="([^"]+)"', svg(drawn(colour=colour)))) for colour in ("#1f5fa8", "#d1681d")]
    assert all(ids) and not ids[0] & ids[1]


def test_what_is_referred_to_is_there() -> None:
    text = svg(drawn())
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= set(re.findall(r'id="([^"]+)"', text))


def test_a_text_stays_as_it_is() -> None:
    text = '<b>#1f5fa8 id="a" font: 10px & "quoted"'
    found = ElementTree.fromstring(svg(drawn(text), text))
    assert text in [each.text for each in found.iter("{http://www.w3.org/2000/svg}text")]
    assert found.get("aria-label") == text


def test_colours_and_type_are_the_pages() -> None:
    text = svg(drawn())
    assert "var(--blue)" in text and "#1f5fa8" not in text
    assert (
        "font-family" not in text
        and "DejaVu" not in text
        and "<style" not in text
        and "<metadata" not in text
    )
