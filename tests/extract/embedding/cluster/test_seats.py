"""How a cluster is divided among workers, and what is said where there is too little of it."""

import re

import pytest

from cache.errors import UserError
from extract.embedding.cluster.seats import Node, seats, told

SMALL, LARGE = Node("a", "10.0.0.1", 2, 0), Node("b", "10.0.0.2", 9, 0)
GPUS = Node("c", "10.0.0.3", 16, 2)


def sizes(*args, **options) -> list[tuple[str, int, float]]:  # type: ignore[no-untyped-def]
    return [(seat.node.id, seat.cpus, seat.gpus) for seat in seats(*args, **options)]


def test_a_worker_for_every_four_cores() -> None:
    assert sizes([SMALL, LARGE]) == [("a", 2, 0), ("b", 4, 0), ("b", 4, 0)]


def test_as_many_as_asked_share_the_cores() -> None:
    assert sizes([SMALL], workers=2) == [("a", 1, 0)] * 2
    assert sizes([SMALL, LARGE], workers=1) == [("a", 2, 0)]
    assert sizes([LARGE], threads=3) == [("b", 3, 0)] * 3


def test_where_there_are_gpus_each_worker_has_one_or_a_share() -> None:
    assert sizes([LARGE, GPUS]) == [("c", 8, 1)] * 2
    assert sizes([GPUS], gpus=0.5) == [("c", 4, 0.5)] * 4
    assert sizes([GPUS], gpus=0)[0] == ("c", 4, 0)
    assert told(seats([GPUS])) == "2 workers of 8 cores and 1 GPU on 1 node"


@pytest.mark.parametrize("options", [{"threads": 3}, {"workers": 3}, {"workers": 2, "threads": 2}])
def test_too_small_a_cluster_is_told(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match=re.escape("10.0.0.1 2 CPU and 0 GPU")) as error:
        seats([SMALL], **options)
    assert "--ray-workers" in str(error.value)
