"""Names made printable; tables as Markdown and CSV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal
from unicodedata import east_asian_width

from cache.frame import change_texts
from cache.text import defused

if TYPE_CHECKING:
    import pandas as pd

OVER_A_PICTURE = 14  # letters of a name that fit there, two side by side
FILE_NAME = 28  # letters of a file name, on a line of its own; fewer of broad ones
IN_A_TITLE = 40  # letters of a name in the title of a picture
TITLE = 64  # letters of such a title


def printable(name: str, width: int | None = None, *, keep: Literal["start", "end", "both"] = "start") -> str:
    """Replace what no terminal, font or UTF-8 file can show: control characters and undecodable bytes.

    A name of more than `width` letters keeps its start, its end or both, and is `width` long then.
    """
    name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    if width is None or len(name) <= width:
        return name
    start = {"start": width - 1, "end": 0, "both": width // 2}[keep]
    return f"{name[:start]}…{name[len(name) - (width - 1 - start) :]}"


def file_name(path: str) -> str:
    """The name of a picture's file, short enough to stand over it."""
    name, width = path.rpartition("/")[2], FILE_NAME
    while sum(map(_breadth, shown := printable(name, width, keep="both"))) > FILE_NAME:
        width -= 1
    return shown


def _breadth(letter: str) -> float:
    """How broad a letter is drawn, in digits, at most."""
    if letter in "WM@%" or east_asian_width(letter) in "WF":
        return 1.6
    return 1.25 if letter.isupper() else 1.0


def setting(value: object) -> str:
    """The value of a head's setting, a fraction to three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def escape(text: str) -> str:
    """Take the meaning from whatever Markdown or HTML would read as markup, and keep it on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#&|~$])", r"\\\1", printable(text))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table whose first `left` columns are text and the others numbers; cells are escaped already."""
    rule = ["---" if i < left else "---:" for i in range(len(columns))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *rows))


def span(low: float, high: float) -> str:
    """An interval of shares, in per cent."""
    return f"{low:.1%} to {high:.1%}"


def csv_text(frame: pd.DataFrame) -> str:
    """Format a frame as CSV: RFC 4180 quoting, newline endings, six significant digits, empty cells for none.

    Texts are `cache.text.defused`.
    """
    frame = change_texts(frame, defused)
    text: str = frame.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    return text


def csv_bytes(text: str) -> bytes:
    """Encode a CSV table as UTF-8; the undecodable bytes of a file name come out as they were."""
    return text.encode("utf-8", "surrogateescape")
