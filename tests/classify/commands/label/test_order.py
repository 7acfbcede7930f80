"""What is asked first: one of each kind, then what the head is in doubt about, and one in five by lot."""

import numpy as np

from classify.commands.label.order import TURN, doubt, is_random, most_telling, next_drawn, sample
from classify.commands.label.pool import Pool


def lumps(sizes: list[int]) -> Pool:
    """Lumps of pictures that are alike, and nothing else is."""
    n, lump = sum(sizes), np.repeat(np.arange(len(sizes)), sizes)
    alike = (lump[:, None] == lump) * 0.9
    np.fill_diagonal(alike, 0)
    near = np.argsort(-alike, axis=1, kind="stable")[:, : max(sizes)]
    return Pool(np.arange(n), np.eye(n, dtype=np.float32), near, np.take_along_axis(alike, near, axis=1))


def test_the_largest_lump_comes_first_and_each_once() -> None:
    pool, closed, asked = lumps([3, 9, 5]), np.zeros(17, bool), []
    for _ in range(3):
        asked.append(most_telling(pool, closed, closed, np.ones(17)))
        closed[asked[-1]] = True
    assert [0 if at < 3 else 1 if at < 12 else 2 for at in asked] == [1, 2, 0]


def test_doubt_leads_to_where_it_is() -> None:
    pool = lumps([9, 5])
    worth = doubt(np.array([[0.99, 0.01]] * 9 + [[0.55, 0.45]] * 5))
    assert most_telling(pool, *np.zeros((2, 14), bool), worth) >= 9


def test_one_in_five_is_drawn_and_all_where_nothing_is_clever() -> None:
    assert [is_random(turn, True) for turn in range(2 * TURN)] == ([False] * 4 + [True]) * 2
    assert all(is_random(turn, False) for turn in range(7))


def test_what_the_lot_has_come_past_is_a_sample() -> None:
    rank = np.array([4, 0, 3, 1, 2])
    labelled = np.array([True, True, False, False, True])  # place 1 was drawn, 0 and 4 came by another turn
    assert next_drawn(rank, labelled) == 3
    assert sample(rank, labelled, np.array([1])).tolist() == [1]
    labelled[3] = True
    assert next_drawn(rank, labelled) == 2
    labelled[2] = True
    assert sample(rank, labelled, np.array([1, 3, 2])).tolist() == [1, 3, 4, 2]
    assert not len(sample(rank, labelled, np.array([], int)))


def test_a_part_of_a_pool_knows_no_other_pictures() -> None:
    part = lumps([3, 4]).part(np.array([0, 1, 5]))
    assert part.likeness.max(axis=1).tolist() == [0.9, 0.9, 0] and part.near.max() <= 2
