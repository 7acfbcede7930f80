"""Text for people: names on one line, cells that no spreadsheet runs, and columns that are aligned."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import PureWindowsPath
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


def counted(n: int, noun: str, several: str = "") -> str:
    """A number with its noun, `several` of them (default: with an s): "1 picture", "2,000 pictures"."""
    return f"{n:,} {noun if n == 1 else several or noun + 's'}"


def sized(n: int) -> str:
    """A number of bytes in units of 1,000 and 1,000,000: "0.3 kB", "31 kB", "2.4 MB"."""
    if n >= 999_500:
        return f"{n / 1e6:,.1f} MB"
    return f"{n / 1e3:.0f} kB" if n >= 9_950 else f"{n / 1e3:.1f} kB"


def last_name(place: str) -> str:
    """What a folder or an address is called, without where it lies; that of a drive or the root is its own."""
    return PureWindowsPath(place).name or place


def terminal_width() -> int | None:
    """Columns of the terminal that standard output is shown on; None where it is none, as in a pipe or a file."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def align(
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
    *,
    width: int | None = None,
    spare: Sequence[int] = (),
) -> str:
    """Pad the cells of each column to one width, two blanks apart; the columns in `right` end together.

    Where that is wider than `width`, columns of `spare` are left out, one after the other in that order, as far as
    needed, and named below; then the last column loses its ends. The first row has the columns' names.
    """
    rows = [[on_one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = list(range(len(widths)))
    left_out = []
    for column in spare:
        if width is None or _total(widths, shown) <= width:
            break
        shown.remove(column)
        left_out.append(rows[0][column])
    last = shown[-1]
    if width is not None:
        over = max(0, _total(widths, shown) - width)
        widths[last] = max(len(rows[0][last]), widths[last] - over)
    lines = [
        "  ".join(
            row[i].rjust(widths[i]) if i in right else shortened(row[i], widths[i]).ljust(widths[i])
            for i in shown
        ).rstrip()
        for row in rows
    ]
    if left_out:
        lines.append(f"not shown in {width} columns: {', '.join(left_out)}")
    return "\n".join(lines)


def shortened(text: str, width: int) -> str:
    """The text, or its beginning and an ellipsis, in at most so many letters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def table(rows: list[dict[str, Any]], *, width: int | None = None, spare: Sequence[str] = ()) -> str:
    """Align dictionaries with the same keys as columns; numbers to the right; `width` and `spare` as in `align`."""
    cells = [[key.replace("_", " ") for key in rows[0]]]
    cells += [[_cell(value) for value in row.values()] for row in rows]
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in rows[0].values()]
    names = list(rows[0])
    right = [i for i, number in enumerate(numbers) if number]
    return align(cells, right, width=width, spare=[names.index(name) for name in spare])


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[i] for i in shown) + 2 * (len(shown) - 1)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
