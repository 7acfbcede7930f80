import csv
from io import StringIO
from typing import Literal

import numpy as np
import pytest

from cache.frame import NUMBER, TEXT, frame
from classify.report.text import FILE_NAME, csv_bytes, csv_text, file_name, printable, setting


@pytest.mark.parametrize(
    ("name", "width", "keep", "shown"),
    [
        ("rose", None, "start", "rose"),
        ("rose", 4, "start", "rose"),
        ("roses", 4, "start", "ros…"),
        ("roses", 4, "end", "…ses"),
        ("roses", 4, "both", "ro…s"),
        ("roses", 1, "start", "…"),
        ("roses", 1, "end", "…"),
        ("roses", 1, "both", "…"),
        ("a\nb\udcff", None, "start", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_name_is_printable_and_as_long_as_asked(
    name: str, width: int | None, keep: Literal["start", "end", "both"], shown: str
) -> None:
    assert printable(name, width, keep=keep) == shown


def test_a_file_name_over_a_picture_keeps_its_start_and_its_ending() -> None:
    assert file_name("roses/IMG_1.jpg") == "IMG_1.jpg"
    shown = file_name("a very long name that nobody reads to its end, 2024.jpg")
    assert len(shown) == FILE_NAME and shown.startswith("a very long") and shown.endswith("2024.jpg")
    assert len(file_name("W" * 40 + ".jpg")) < 20 and file_name("W" * 9 + ".jpg") == "W" * 9 + ".jpg"


def test_a_setting_has_three_digits() -> None:
    assert [setting(value) for value in (0.000234375, 10.0, 5, "scale")] == ["0.000234", "10", "5", "scale"]


def test_pandas_writes_what_the_csv_module_writes() -> None:
    names = ["caf\udce9", 'a,"b"', "line\nbreak", "cr\rcr", "", " x ", "NA", "\u2028", "1e5", "'"]
    share = [0.0, 1.0, 1e-7, 1 / 3, 5e-7, 0.1, 1e300, -0.0, 0.123457, 2.0]
    columns = {"path": TEXT, "share": NUMBER}
    rows = list(zip(names, share, strict=True))
    theirs = StringIO()
    told = [(name, f"{number:.6g}") for name, number in rows]
    csv.writer(theirs, lineterminator="\n").writerows([list(columns), *told])
    found = frame(columns, [dict(zip(columns, row, strict=True)) for row in rows])
    assert csv_text(found) == theirs.getvalue() and b"caf\xe9,0\n" in csv_bytes(csv_text(found))
    assert csv_text(frame(columns, [])) == "path,share\n"
    assert csv_text(frame(columns, [{"path": "a", "share": np.nan}])) == "path,share\na,\n"
    assert csv_text(frame(columns, [{"path": "a", "share": 1 / 3}])) == "path,share\na,0.333333\n"


def test_texts_of_a_csv_are_nothing_that_a_spreadsheet_runs() -> None:
    records = [{"path": "=1+1", "shift": -1.5, "label": "-x"}, {"path": "a", "shift": 2.0, "label": None}]
    table = frame({"path": TEXT, "shift": NUMBER, "label": TEXT}, records)
    assert csv_text(table) == "path,shift,label\n'=1+1,-1.5,'-x\na,2,\n"
