from cache.text import align, counted, on_one_line, table


def test_a_number_agrees_with_its_noun() -> None:
    assert [counted(n, "picture") for n in (0, 1, 2000)] == ["0 pictures", "1 picture", "2,000 pictures"]
    assert [counted(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]


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
