import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from cache.errors import UserError
from classify.heads import HEADS, Head, select


@pytest.mark.parametrize("head", HEADS.values(), ids=lambda head: head.name)
def test_every_entry_is_a_pipeline_that_takes_its_whole_grid(head: Head) -> None:
    pipeline = head.make()
    assert isinstance(pipeline, Pipeline)
    for name, values in head.grid(1280).items():
        for value in values:
            assert clone(pipeline).set_params(**{name: value}).get_params()[name] == value


def test_ranks_are_distinct() -> None:
    assert len({head.rank for head in HEADS.values()}) == len(HEADS)


def test_select_keeps_the_order_and_drops_repeats() -> None:
    assert [head.name for head in select(["svm", "logreg", "svm"])] == ["svm", "logreg"]
    assert select(["svm", "all"])[0].name == "svm"
    assert {head.name for head in select(["all"])} == set(HEADS)


@pytest.mark.parametrize("names", [["svn"], ["logreg", "svn"], []])
def test_an_unknown_name_lists_the_valid_ones(names: list[str]) -> None:
    with pytest.raises(UserError, match=r"logreg, svm-linear, svm.*received ('svn'|no name)"):
        select(names)


def test_a_new_head_is_one_entry() -> None:
    mine = Head("mine", HEADS["svm"].make, lambda width: {}, rank=9)
    assert select(["all"], {"mine": mine}) == [mine]
