"""Shares of the parts: what is understood and what is refused."""

import pytest

from cache.errors import UserError
from classify.data.splits import parse_shares


@pytest.mark.parametrize(
    ("text", "val", "test"),
    [
        ("80/10/10", 0.1, 0.1),
        ("80/20", 0.0, 0.2),
        ("8/1/1", 0.1, 0.1),
        ("0.8/0.1/0.1", 0.1, 0.1),
        (" 80% / 10% / 10% ", 0.1, 0.1),
        ("70/0/30", 0.0, 0.3),
        ("2/1/1", 0.25, 0.25),
    ],
)
def test_shares_are_in_proportion(text: str, val: float, test: float) -> None:
    assert parse_shares(text) == (val, test)  # to the bit: it names a record


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "such as 80/10/10"),
        ("80", "such as 80/10/10"),
        ("80/10/5/5", "such as 80/10/10"),
        ("80/x/10", "received '80/x/10'"),
        ("80/-10/30", "such as 80/10/10"),
        ("1e999999999/1", "such as 80/10/10"),
        ("nan/1", "such as 80/10/10"),
        ("80,10,10", "such as 80/10/10"),
        ("0/0/0", "nothing to train on"),
        ("0/50/50", "nothing to train on"),
        ("80/20/0", "nothing to test on"),
    ],
)
def test_what_divides_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_shares(text)
