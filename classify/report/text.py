"""Names made printable; tables as Markdown and CSV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cache.frame import change_texts
from cache.text import defused

if TYPE_CHECKING:
    import pandas as pd

OVER_A_PICTURE = 14  # letters of a name that fit there


def printable(name: str, width: int | None = None, *, keep_end: bool = False) -> str:
    """Replace what no terminal, font or UTF-8 file can show: control characters and undecodable bytes.

    A name of more than `width` letters loses its end, or its start with `keep_end`, and is `width` long then.
    """
    name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    if width is None or len(name) <= width:
        return name
    return "…" + name[len(name) - width + 1 :] if keep_end else name[: width - 1] + "…"


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


def csv_text(frame: pd.DataFrame, digits: str | None = None) -> str:
    """Format a frame as CSV: RFC 4180 quoting, newline endings, empty cells for what is missing.

    Texts are `cache.text.defused`. `digits` is a format of fractions, such as "%.6g"; default: as many as tell them
    apart.
    """
    frame = change_texts(frame, defused)
    text: str = frame.to_csv(index=False, lineterminator="\n", float_format=digits)
    return text


def csv_bytes(text: str) -> bytes:
    """Encode a CSV table as UTF-8; the undecodable bytes of a file name come out as they were."""
    return text.encode("utf-8", "surrogateescape")
