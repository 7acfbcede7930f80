"""Sets of networks as a table and as a picture."""

from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image

from classify.metrics.frontier import Frontier, Tried
from classify.report.frontier import frontier_markdown, frontier_text
from classify.report.frontier_plot import draw, frontier_png

pytestmark = pytest.mark.figures

NAMES = ("efficientnet_lite0", "efficientnet_lite1", "resnet_$5")


def tried(members: tuple[int, ...], hits: int, milliseconds: float | None) -> Tried:
    networks = tuple(NAMES[i] for i in members)
    return Tried(networks, networks, 2048 * len(members), "all", hits, 1000, 0.004, milliseconds)


FOUND = Frontier([tried((0,), 920, 3.0), tried((1,), 915, 4.5), tried((0, 1), 930, 7.5)])


def test_the_table_names_each_set_once_and_marks_the_choice() -> None:
    lines = frontier_text(FOUND).splitlines()
    assert lines[0].split()[:3] == ["networks", "CV", "accuracy"]
    assert lines[1].startswith("efficientnet_lite0  ") and "92.0%" in lines[1] and "3.0" in lines[1]
    assert lines[3].startswith("efficientnet_lite0 + lite1  ") and lines[3].endswith("best")
    assert "4,096" in lines[3] and "cheapest" not in lines[1]
    assert lines[4] == (
        "the most accurate networks, which the heads use: efficientnet_lite0 + lite1, 93.0% at 7.5 ms a picture; no "
        "cheaper set is within one standard error (0.4%)"
    )
    near = Frontier([tried((0,), 927, 3.0), *FOUND.tried[1:]])
    assert frontier_text(near).endswith("(0.4%): efficientnet_lite0, 92.7% at 3.0 ms a picture")
    assert frontier_text(near).splitlines()[1].endswith("cheapest near it")


def test_a_narrow_terminal_gets_the_columns_that_matter() -> None:
    table = frontier_text(FOUND, 70).splitlines()[:4]
    assert max(map(len, table)) <= 70
    assert "CV accuracy" in table[0] and "ms a picture" in table[0] and "columns" not in table[0]


def test_the_section_of_a_page_escapes_names() -> None:
    page = frontier_markdown(Frontier([tried((2,), 900, None), tried((0,), 910, None)]))
    assert r"| resnet\_\$5 | 90.0% |" in page and "None" not in page
    assert "cross-validated on the 1,000 training pictures" in page


@pytest.mark.parametrize("cost", [None, 2.0])
def test_the_picture_shows_every_set(cost: float | None) -> None:
    found = Frontier([*FOUND.tried, tried((2,), 905, cost)])
    figure = draw(found, "logreg on $flowers")
    (axes,) = figure.axes
    assert axes.get_xlabel() == (
        "milliseconds a picture, all networks of the set together" if cost else "networks in the set"
    )
    words = [text.get_text() for text in axes.texts]
    assert {"efficientnet_lite0", "efficientnet_lite0 + lite1", "resnet_$5"} <= set(words)
    drawn = sorted(float(x) for line in axes.containers for x in line.lines[0].get_xdata())
    assert drawn == ([2.0, 3.0, 4.5, 7.5] if cost else [1.0, 1.0, 1.0, 2.0])
    assert Image.open(BytesIO(frontier_png(found, "x"))).width > 800


def test_names_that_begin_alike_are_short_in_the_picture_and_many_sets_go_without() -> None:
    (axes,) = draw(FOUND).axes
    assert {text.get_text() for text in axes.texts} >= {"lite0", "lite1", "lite0 + lite1"}
    many = [replace(tried((1,), 800, 4.0), milliseconds=4.0 + i) for i in range(9)]
    (axes,) = draw(Frontier([*FOUND.tried, *many])).axes
    assert {"lite0", "lite0 + lite1"} <= {text.get_text() for text in axes.texts}
    assert "lite1" not in {text.get_text() for text in axes.texts}
