"""Sets of networks side by side: as text, and as a section of a page."""

from __future__ import annotations

from cache.space import side_by_side
from cache.text import align
from classify.metrics.frontier import Frontier, Tried
from classify.report.text import escape, span, table

COLUMNS = ("networks", "CV accuracy", "95 % interval", "ms a picture", "parts", "columns", "")


def frontier_text(found: Frontier, width: int | None = None) -> str:
    """Format the sets that were tried as aligned columns, at most `width` letters a line, and say what is chosen."""
    rows = [COLUMNS, *cells(found)]
    spare = [COLUMNS.index(name) for name in ("columns", "parts", "95 % interval")]
    return f"{align(rows, right=(1, 3, 5), width=width, spare=spare)}\n{sentence(found)}"


def frontier_markdown(found: Frontier) -> str:
    """The same as a table in Markdown, with what its figures are."""
    rows = [[escape(cell) for cell in row] for row in cells(found)]
    titles = ("Networks", "CV accuracy", "95 % interval", "ms a picture", "Parts", "Columns", "")
    how = (
        "A small search of logistic regression compares the sets, cross-validated on the "
        f"{found.best.n:,} training pictures, with Wilson's 95 % interval. Milliseconds are of the networks alone on "
        "this machine, pictures decoded before; those of a set are added up. In each round the network came in that "
        "helped most."
    )
    return f"{table(titles, rows)}\n\n{how}\n\n{escape(sentence(found))}"


def sentence(found: Frontier) -> str:
    """Which set is the best, and which the cheapest near it."""
    best, cheapest = found.best, found.cheapest
    text = f"the most accurate networks, which the heads use: {_name(best)}, {best.accuracy:.1%}{_cost(best)}"
    if cheapest is best:
        return f"{text}; no cheaper set is within one standard error ({best.error:.1%})"
    return (
        f"{text}; the cheapest within one standard error ({best.error:.1%}): {_name(cheapest)}, "
        f"{cheapest.accuracy:.1%}{_cost(cheapest)}"
    )


def cells(found: Frontier) -> list[tuple[str, ...]]:
    """The cells below `COLUMNS`, a row for each set."""
    marks = {id(found.cheapest): "cheapest near it", id(found.best): "best"}
    return [
        (
            _name(each),
            f"{each.accuracy:.1%}",
            span(*each.interval),
            "" if each.milliseconds is None else f"{each.milliseconds:.1f}",
            each.parts,
            f"{each.width:,}",
            marks.get(id(each), ""),
        )
        for each in found.tried
    ]


def _name(each: Tried) -> str:
    return side_by_side(each.networks)


def _cost(each: Tried) -> str:
    return "" if each.milliseconds is None else f" at {each.milliseconds:.1f} ms a picture"
