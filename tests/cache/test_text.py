from cache.text import align, on_one_line, table


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
