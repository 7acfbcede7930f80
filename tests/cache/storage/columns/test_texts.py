import os

import numpy as np
import pytest

from cache.storage.columns import matching, texts
from cache.storage.columns.texts import Texts

ODD = ["a/1.jpg", "", "line\nbreak", os.fsdecode(b"caf\xe9 \xff.jpg"), "花/ü.png", "", "é", "a/1.jpg "]


def names(count, prefix=""):
    return [f"{prefix}{number % 7}/{number}" for number in range(count)]


@pytest.fixture
def small_blocks(monkeypatch):
    for module in (texts, matching):
        monkeypatch.setattr(module, "_BYTES", 50)
    monkeypatch.setattr(texts, "_TEXTS", 7)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("given", [ODD, [], [""], names(100)])
def test_a_column_is_the_list_that_it_was_made_of(given):
    column = Texts.of(iter(given))
    assert len(column) == len(given) and list(column) == given and column == given and given == column
    assert [column[row] for row in range(len(given))] == given
    assert [column[-row] for row in range(1, len(given) + 1)] == given[::-1]
    assert Texts.of(column) is column
    for part in (slice(2, 5), slice(5, 2), slice(None, None, -2), slice(-3, None), slice(0, 999)):
        assert column[part] == given[part]
    with pytest.raises(IndexError):
        column[len(given)]


@pytest.mark.usefixtures("small_blocks")
def test_rows_are_taken_in_any_order():
    given = ODD + names(50)
    column, rng = Texts.of(given), np.random.default_rng(0)
    for rows in (
        [],
        [3],
        [3, 3, 0],
        range(4, 9),
        range(9, 4, -1),
        rng.integers(0, len(given), 99),
    ):
        taken = column.take(np.array(rows, np.intp))
        assert taken == [given[row] for row in rows]
        assert taken.offset[0] == 0 and taken.offset[-1] == len(taken.blob)


@pytest.mark.usefixtures("small_blocks")
def test_texts_are_found_where_they_are():
    held = list(dict.fromkeys(ODD)) + names(60)
    asked = ["nowhere", *held[::-2], "a/1.jp", "a/1.jpgg"]
    where = Texts.of(held).find(Texts.of(asked))
    assert where.tolist() == [held.index(text) if text in held else -1 for text in asked]
    assert Texts.of(held).find(Texts.of(held)).tolist() == list(range(len(held)))
    assert Texts.of([]).find(Texts.of(asked)).tolist() == [-1] * len(asked)
    assert Texts.of(held).find(Texts.of([])).tolist() == []


def test_texts_that_repeat_or_hash_alike_are_told_apart(monkeypatch):
    held, asked = Texts.of(["x", "y", "x", "z"]), Texts.of(["z", "x", "u"])
    assert held.find(asked).tolist() == [3, 2, -1]
    monkeypatch.setattr(matching, "hashes", lambda column, weights: np.diff(column[1]).astype(np.uint64))
    held, asked = Texts.of(["xx", "y", "zzz"]), Texts.of(["zzz", "u", "xx"])
    assert held.find(asked).tolist() == [2, -1, 0]


def test_a_column_shows_what_it_is():
    assert repr(Texts.of("abcd")) == "<4 texts: 'a', 'b', 'c', ...>"
    assert Texts.of("ab") != "ab" and Texts.of("ab") != ["a"] and Texts.of("ab") != 3
