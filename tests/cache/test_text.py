import pytest

from cache.text import (
    align,
    counted,
    defused,
    last_name,
    on_one_line,
    restored,
    sized,
    table,
    terminal_width,
    visible,
)


def test_a_number_agrees_with_its_noun() -> None:
    assert [counted(n, "picture") for n in (0, 1, 2000)] == ["0 pictures", "1 picture", "2,000 pictures"]
    assert [counted(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (0, "0.0 kB"),
        (330, "0.3 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (2_440_000, "2.4 MB"),
    ],
)
def test_a_size_is_never_none(size: int, told: str) -> None:
    assert sized(size) == told


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/home/me/flowers", "flowers"),
        ("/home/me/flowers/", "flowers"),
        (r"C:\Users\me\flowers", "flowers"),
        ("s3://bucket/of/mine/flowers", "flowers"),
        ("/a b/train.tar", "train.tar"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_a_place_is_called_by_its_last_name(place: str, name: str) -> None:
    assert last_name(place) == name


def test_columns_are_aligned_and_numbers_end_together():
    assert align([("a", "1"), ("bbb", "22")], right=[1]) == "a     1\nbbb  22"
    rows = [
        {"name": "tiny", "input_size": 64, "here": True},
        {"name": "wide", "input_size": 1024, "here": False},
    ]
    assert table(rows) == "name  input size  here\ntiny          64  yes\nwide       1,024  no"


def test_a_name_stays_on_one_line():
    assert on_one_line("café.jpg") == "café.jpg"
    assert on_one_line("a\nb\x1b\udce9.jpg") == r"a\nb\x1b\udce9.jpg"


def test_what_is_wider_than_the_terminal_loses_columns_and_then_the_end_of_the_last():
    rows = [("head", "F1", "seconds", "settings"), ("svm", "0.912", "12.5", "C=1 gamma=scale kernel=rbf")]
    whole = align(rows, right=(1, 2))
    assert align(rows, right=(1, 2), width=len(whole.splitlines()[1]), spare=(1, 2)) == whole
    assert align(rows, right=(1, 2), width=46, spare=(1, 2)).splitlines() == [
        "head  seconds  settings",
        "svm      12.5  C=1 gamma=scale kernel=rbf",
        "not shown in 46 columns: F1",
    ]
    narrow = align(rows, right=(1, 2), width=24, spare=(1, 2)).splitlines()
    assert narrow[1:] == ["svm   C=1 gamma=scale k…", "not shown in 24 columns: F1, seconds"]
    assert max(map(len, narrow[:2])) == 24


def test_a_pipe_has_no_width(capsys):
    assert terminal_width() is None


def test_a_text_for_a_terminal_keeps_its_lines():
    assert visible("a\n\tb é\x1b[31m\r\udce9") == "a\n\tb é\\x1b[31m\\r\\udce9"
    assert align([("a\nb", "1")]) == r"a\nb  1"


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd|' /C calc'!A0", "-rf", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''-x"]
)
def test_a_cell_that_a_spreadsheet_would_run_is_defused(cell: str):
    assert defused(cell) == "'" + cell
    assert restored(defused(cell)) == cell


@pytest.mark.parametrize("cell", ["", "rose", "1-2", "-1", "+5.5", "-1e3", "'quoted'", "a=b"])
def test_other_cells_stay_as_they_are(cell: str):
    assert defused(cell) == restored(cell) == cell
