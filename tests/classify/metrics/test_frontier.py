"""Sets of networks: which is best, which cheapest near it, and which no cheaper one reaches."""

from dataclasses import replace
from typing import Any

from classify.metrics.frontier import Frontier, Tried
from classify.metrics.intervals import wilson


def tried(names: str, hits: int, milliseconds: float | None, **more: Any) -> Tried:
    networks = tuple(f"net_{name}" for name in names)
    made = Tried(networks, networks, 8 * len(names), "all", hits, 1000, 0.01, milliseconds)
    return replace(made, **more)


SETS = [
    tried("a", 900, 1.0),
    tried("b", 912, 2.0),
    tried("c", 905, 4.0),
    tried("ab", 914, 3.0),
    tried("bc", 920, 6.0),
    tried("abc", 921, 7.0),
]


def test_the_best_the_cheapest_near_it_and_the_edge() -> None:
    found = Frontier(SETS)
    assert found.best is SETS[5]
    assert found.cheapest is SETS[1]  # 0.912 >= 0.921 - 0.01
    assert [each.networks for each in found.edge] == [SETS[i].networks for i in (0, 1, 3, 4, 5)]
    low, high = wilson(921, 1000)
    assert SETS[5].interval == (low, high) and SETS[5].accuracy == 0.921
    said = found.to_json()
    assert said["best"] == ["net_a", "net_b", "net_c"] and said["cheapest"] == ["net_b"]
    assert [each["milliseconds"] for each in said["sets"]] == [1.0, 2.0, 4.0, 3.0, 6.0, 7.0]
    assert [Tried.from_json(each) for each in said["sets"]] == SETS


def test_of_equal_sets_the_cheapest_is_the_best() -> None:
    equal = [tried("ab", 900, 3.0), tried("c", 900, 2.0), tried("a", 899, 1.0, error=0.0)]
    found = Frontier(equal)
    assert found.best is equal[1] and found.edge == [equal[2], equal[1]]


def test_the_standard_error_is_that_of_the_best() -> None:
    one, two = tried("a", 900, 1.0, error=0.5), tried("b", 920, 2.0, error=0.001)
    assert Frontier([one, two]).cheapest is two


def test_without_times_fewer_networks_and_columns_are_cheaper() -> None:
    unknown = [tried("ab", 920, None), tried("a", 915, None), tried("b", 915, None, width=4)]
    assert Frontier(unknown).cheapest is unknown[2]


def test_a_set_of_unknown_cost_is_not_taken_for_a_cheap_one() -> None:
    known, unknown = tried("a", 920, 3.0), tried("b", 918, None)
    assert Frontier([known, unknown]).cheapest is known
