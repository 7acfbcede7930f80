"""Text for people: names on one line, cells that no spreadsheet runs, and columns that are aligned."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any


def on_one_line(path: str) -> str:
    """A file name on one line, whatever bytes it is made of."""
    return path if path.isprintable() else path.encode("unicode_escape", "backslashreplace").decode("ascii")


def visible(text: str) -> str:
    """A text of several lines in which a terminal finds nothing to obey: escape sequences are spelled out."""
    if "".join(text.split("\n")).isprintable():
        return text
    return "".join(letter if letter in "\n\t" else on_one_line(letter) for letter in text)


_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def defused(cell: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run as a formula; a number stays as it is."""
    return f"'{cell}" if _FORMULA.match(cell) and not _is_number(cell) else cell


def restored(cell: str) -> str:
    """Take away the apostrophe that `defused` put there."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isprintable()


def counted(number: int, one: str, many: str = "") -> str:
    """A number and what it counts: 1 file, 2,000 files."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def align(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Pad the cells of each column to one width, two blanks apart; the columns in `right` end together."""
    rows = [[on_one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def table(rows: list[dict[str, Any]]) -> str:
    """Align dictionaries with the same keys as columns; numbers to the right."""
    cells = [[key.replace("_", " ") for key in rows[0]]]
    cells += [[_cell(value) for value in row.values()] for row in rows]
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in rows[0].values()]
    return align(cells, [i for i, number in enumerate(numbers) if number])


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
