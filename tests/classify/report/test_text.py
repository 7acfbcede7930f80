import csv
from io import StringIO

import numpy as np
import pytest

from cache.frame import NUMBER, TEXT, frame
from classify.report.text import csv_bytes, csv_text, printable, setting


@pytest.mark.parametrize(
    ("name", "width", "keep_end", "shown"),
    [
        ("rose", None, False, "rose"),
        ("rose", 4, False, "rose"),
        ("roses", 4, False, "ros…"),
        ("roses", 4, True, "…ses"),
        ("roses", 1, True, "…"),
        ("a\nb\udcff", None, False, "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_name_is_printable_and_as_long_as_asked(
    name: str, width: int | None, keep_end: bool, shown: str
) -> None:
    assert printable(name, width, keep_end=keep_end) == shown


def test_a_setting_has_three_digits() -> None:
    assert [setting(value) for value in (0.000234375, 10.0, 5, "scale")] == ["0.000234", "10", "5", "scale"]


def test_pandas_writes_what_the_csv_module_writes() -> None:
    names = ["caf\udce9", 'a,"b"', "line\nbreak", "cr\rcr", "", " x ", "NA", "\u2028", "1e5", "'"]
    share = [0.0, 1.0, 1e-7, 1 / 3, 5e-7, 0.1, 1e300, -0.0, 0.123457, 2.0]
    columns = {"path": TEXT, "share": NUMBER}
    rows = list(zip(names, share, strict=True))
    theirs = StringIO()
    csv.writer(theirs, lineterminator="\n").writerows([list(columns), *rows])
    found = frame(columns, [dict(zip(columns, row, strict=True)) for row in rows])
    assert csv_text(found) == theirs.getvalue() and b"caf\xe9,0.0\n" in csv_bytes(csv_text(found))
    assert csv_text(frame(columns, [])) == "path,share\n"
    assert csv_text(frame(columns, [{"path": "a", "share": np.nan}])) == "path,share\na,\n"
    assert csv_text(frame(columns, [{"path": "a", "share": 1 / 3}]), "%.6g") == "path,share\na,0.333333\n"


def test_texts_of_a_csv_are_nothing_that_a_spreadsheet_runs() -> None:
    records = [{"path": "=1+1", "shift": -1.5, "label": "-x"}, {"path": "a", "shift": 2.0, "label": None}]
    table = frame({"path": TEXT, "shift": NUMBER, "label": TEXT}, records)
    assert csv_text(table) == "path,shift,label\n'=1+1,-1.5,'-x\na,2.0,\n"
