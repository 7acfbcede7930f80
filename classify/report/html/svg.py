"""A figure of Matplotlib as markup inside a page."""

from __future__ import annotations

import re
from hashlib import sha256
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from classify.report.text import printable

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

# The plots' colours, which style.css has by these names in a light and a dark tone.
COLOURS = {
    "#1f5fa8": "var(--blue)",
    "#d1681d": "var(--orange)",
    "#1c7c3c": "var(--green)",
    "#b3261e": "var(--red)",
    "#ffffff": "var(--paper)",
    "#000000": "var(--ink)",
    "#262626": "var(--ink)",
    "#ebebeb": "var(--line)",  # the grid, 0.92
    **dict.fromkeys(("#595959", "#666666", "#737373", "#808080", "#8c8c8c", "#999999"), "var(--dim)"),
}


def svg(figure: Figure, label: str = "") -> Markup:
    """Draw a figure without a background, in the page's own type and, where it knows them, its colours.

    Parameters
    ----------
    figure : Figure
        Of `classify.report.figures.new_figure`.
    label : str
        What it shows, for those who do not see it.

    Returns
    -------
    markup : Markup
        The <svg> element: the same for the same figure, with ids that no other figure in the page has.
    """
    import matplotlib
    from markupsafe import Markup

    out = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "coldframe", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue().decode("utf-8", "replace")
    text = re.sub(r"\s*<(metadata|style)\b.*?</\1>", "", text[text.index("<svg") :], flags=re.S)
    own = f"f{sha256(text.encode()).hexdigest()[:8]}"
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(
        r"<[^>]*>", lambda tag: _for_a_page(tag[0], own, used), text
    )  # never what stands between tags
    says = f'role="img" aria-label="{escape(printable(label))}"' if label else 'role="img"'
    return Markup(text.replace("<svg", f"<svg {says}", 1))


def _for_a_page(tag: str, own: str, used: set[str]) -> str:
    """A tag with the page's type and colours; its id, where something refers to it, begins with `own`."""
    tag = re.sub(r' id="([^"]*)"', lambda found: f' id="{own}{found[1]}"' if found[1] in used else "", tag)
    tag = re.sub(r'(href="#|url\(#)', rf"\g<1>{own}", tag)
    tag = re.sub(r"(?<=: )#[0-9a-f]{6}\b", lambda found: COLOURS.get(found[0], found[0]), tag)
    return re.sub(
        r"font-family: [^;\"]*;? ?", "", re.sub(r"font: ((?:[\w-]+ )*)([\d.]+)px [^;\"]*", _type, tag)
    )


def _type(found: re.Match[str]) -> str:
    """Size and weight of a text, without the family."""
    bold = "; font-weight: bold" if re.search(r"bold|[6-9]00", found[1]) else ""
    return f"font-size: {found[2]}px{bold}"
