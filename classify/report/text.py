"""Names made printable; tables as text, Markdown and CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

_LONGEST = 14  # letters of a name that fit over a picture


def align(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Pad the cells of each column to one width, two blanks apart; the columns in `right` end together."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def short(name: str) -> str:
    """A name that fits over a picture."""
    name = printable(name)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def printable(name: str) -> str:
    """Replace what no terminal, font or UTF-8 file can show: control characters and undecodable bytes."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def shorten(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"


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


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format a CSV table: RFC 4180 quoting, newline endings."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def csv_bytes(text: str) -> bytes:
    """Encode a CSV table as UTF-8; the undecodable bytes of a file name come out as they were."""
    return text.encode("utf-8", "surrogateescape")
